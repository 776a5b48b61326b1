"""REST, one module per resource. Every answer has the envelope of `c2c.http.envelope`."""
