"""Every setting of a node, read from `C2C_*` variables; the command line sets the same names."""

from __future__ import annotations

import ipaddress
import secrets
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Algorithm = Literal["HS256", "RS256", "ES256"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """One node's settings. Units are in the names; what is refused, is refused at start."""

    model_config = SettingsConfigDict(env_prefix="C2C_", extra="ignore", frozen=True, hide_input_in_errors=True)

    # Where
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    node_id: str = Field(default_factory=lambda: secrets.token_hex(4), min_length=1, max_length=64)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Redis
    redis_url: str | None = Field(default=None, repr=False)
    redis_cluster_keys: bool = False
    redis_timeout_s: PositiveFloat = 3.0
    data_dir: Path | None = None

    # Who
    auth: Literal["dev", "jwt"] = "dev"
    jwt_algorithm: Algorithm = "HS256"
    jwt_secret: str | None = Field(default=None, repr=False)
    jwt_jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()

    # Liveness: a lease must outlive one renewal and the longest stall that should cost nobody their place.
    lease_s: PositiveFloat = 34.0
    renew_interval_s: PositiveFloat = 4.0
    grace_s: PositiveFloat = 10.0
    creator_lease_s: PositiveFloat = 60.0
    presence_ttl_s: PositiveFloat = 30.0
    session_ttl_s: PositiveFloat = 600.0
    presence_quiet_users: PositiveInt = 200
    presence_pace_s: PositiveFloat = 1.0
    canary_interval_s: PositiveFloat = 1.0
    canary_timeout_s: PositiveFloat = 3.0
    heartbeat_s: PositiveFloat = 10.0

    # Monitoring
    monitor: bool = True
    check_allow_cidrs: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    status_page: bool = False
    webhook_retry_s: PositiveFloat = 10.0

    # Limits
    max_connections: PositiveInt = 10_000
    max_frame_bytes: PositiveInt = 65_536
    max_nesting: PositiveInt = 32
    max_rooms_per_connection: PositiveInt = 50
    max_resume_events: PositiveInt = 1_000
    outbox_bytes: PositiveInt = 1_048_576
    store_queue: PositiveInt = 20_000
    command_rate_per_s: PositiveFloat = 20.0
    command_burst: PositiveInt = 40
    sign_in_timeout_s: PositiveFloat = 5.0
    drain_s: PositiveFloat = 5.0

    @property
    def presence_lease_s(self) -> float:
        """The lease of a signed-in connection. Shorter than that in a room, because others may be told only at the next
        beat (`presence_pace_s`), and renewed as much more often."""
        return max(self.lease_s - self.presence_pace_s, self.lease_s / 2)

    @property
    def presence_renew_interval_s(self) -> float:
        return self.renew_interval_s * 3 / 4

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(origin.strip().rstrip("/") for origin in value.split(",") if origin.strip())
        return value

    @field_validator("check_allow_cidrs", mode="before")
    @classmethod
    def _split_cidrs(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ipaddress.ip_network(cidr.strip()) for cidr in value.split(",") if cidr.strip())
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.auth == "dev" and not is_loopback(self.host):
            raise ValueError("auth 'dev' trusts everybody: it is allowed on a loopback host only, use auth 'jwt'")
        if self.auth == "jwt":
            self._check_jwt()
        if self.lease_s <= self.renew_interval_s:
            raise ValueError("lease_s must be longer than renew_interval_s")
        return self

    def _check_jwt(self) -> None:
        if self.jwt_algorithm == "HS256":
            if self.jwt_secret is None or len(self.jwt_secret.encode()) < 32:
                raise ValueError("auth 'jwt' with HS256 needs C2C_JWT_SECRET of at least 32 bytes")
        elif self.jwt_jwks is None:
            raise ValueError(f"auth 'jwt' with {self.jwt_algorithm} needs C2C_JWT_JWKS, a URL or a file")
