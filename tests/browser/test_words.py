"""The catalogues of the languages say the same things."""

from __future__ import annotations

import re
from pathlib import Path

from tests.browser.conftest import Visit
from tests.conftest import StartNode

_WEB = Path(__file__).parent.parent.parent / "c2c" / "web"

# Every value that an entry may name, as something that can be found again.
_READ = """async () => {
    const folder = document.querySelector('script[type=module]').src.replace('landing.js', 'i18n/');
    const read = async (file) => Object.entries((await import(`${folder}${file}.js`)).default);
    const [en, ko] = await Promise.all(['en', 'ko'].map(async (name) => {
      const parts = await Promise.all(['', 'monitor.', 'endpoint.', 'forms.', 'status.'].map((part) => read(part + name)));
      return Object.fromEntries(parts.flat());
    }));
    const values = { n: 30, s: 31, a: '<a>', b: '<b>', name: '<name>', text: '<text>' };
    const written = (entry) => typeof entry === 'function' ? entry(values)
      : entry.replace(/\\{(\\w+)\\}/g, (whole, name) => values[name] ?? whole);
    const words = (catalogue) => Object.fromEntries(Object.entries(catalogue).map(([key, entry]) => [key, written(entry)]));
    return [words(en), words(ko)];
}"""
_VALUES = r"30|31|<\w+>|\{\w+\}"


async def test_both_languages_have_the_same_keys_and_name_the_same_values(start_node: StartNode, visit: Visit) -> None:
    person = await visit(start_node())
    english, korean = await person.page.evaluate(_READ)
    assert english.keys() == korean.keys()
    for key, words in english.items():
        assert words, key
        assert korean[key], key
        assert sorted(re.findall(_VALUES, words)) == sorted(re.findall(_VALUES, korean[key])), key
        assert words != korean[key] or " " not in re.sub(_VALUES, "", words).strip(" :"), f"{key} is not translated"


async def test_every_key_is_used_and_every_used_key_exists(start_node: StartNode, visit: Visit) -> None:
    person = await visit(start_node())
    english, _ = await person.page.evaluate(_READ)
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for path in _WEB.rglob("*.js")
        if path.parent.name != "i18n" and path.parent.name != "sdk"
    )
    built = ("light.", "status.", "error.", "monitor.reason.")
    unused = [key for key in english if f"'{key}'" not in source and not key.startswith(built)]
    assert unused == []
    used = re.findall(r"(?:\bt\(|\bh\([^)]*\bt: |tLabel: |tTitle: |tPlaceholder: )'([\w.]+)'", source)
    assert [key for key in used if key not in english] == []
