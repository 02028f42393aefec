"""The command `verify-isolation`: three made-up organizations on a running server, none of which may see another."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
import httpx

from sensorcast import auth
from sensorcast.cli.credentials import mint, open_store
from sensorcast.cli.options import load, with_settings
from sensorcast.errors import Unavailable
from sensorcast.model import Organization, Revocation, RevocationKind, Role, Scope
from sensorcast.settings import Settings
from sensorcast.verify.run import Report, verify
from sensorcast.verify.socket import Refused
from sensorcast.verify.tenant import Tenant

_TENANTS: Final = 3
_TOKEN_TTL_S: Final = 6 * 3_600


@click.command("verify-isolation")
@click.option("--url", "urls", required=True, multiple=True, help="Address of a node; again for each one more.")
@click.option("--operations", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="Another number gives another order.")
@with_settings("data", "database_url", "jwt_secret", "jwt_issuer", "jwt_audience")
def verify_isolation(urls: tuple[str, ...], operations: int, seed: int, **flags: Any) -> None:
    """Try to see with one organization's credentials what belongs to another; exit 1 when anything shows.

    Makes three organizations with random names, uses every surface in random order, and at the end revokes their
    credentials and takes them out of the registry. Their readings stay; give the settings of the server, so that the
    credentials are taken there.
    """
    report = asyncio.run(_verify(load(flags), urls, operations, seed))
    _print(report)
    sys.exit(1 if report.leaks else 0)


async def _verify(chosen: Settings, urls: Sequence[str], operations: int, seed: int) -> Report:
    tenants = [await _new_tenant(chosen) for _ in range(_TENANTS)]
    try:
        return await verify(urls, tenants, operations=operations, seed=seed)
    except Refused as exc:
        raise Unavailable(
            f"{' or '.join(urls)} does not take the credentials made here",
            hint="Give the settings of that server: data or database_url, and jwt_secret.",
        ) from exc
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise Unavailable(f"{' or '.join(urls)} does not answer: {type(exc).__name__}") from exc
    finally:
        await _end(chosen, tenants)


async def _new_tenant(chosen: Settings) -> Tenant:
    organization_id = f"verify-{secrets.token_hex(8)}"
    key, text = auth.new_api_key(
        organization_id, "verify-isolation", time.time_ns() // 1_000, scopes=[Scope.INGEST, Scope.READ]
    )
    async with open_store(chosen) as store:
        await store.create_key(key)
    token = mint(chosen, organization_id, Role.OWNER, "verify-isolation", _TOKEN_TTL_S)
    return Tenant(organization_id, token, text, datetime.now(UTC))


async def _end(chosen: Settings, tenants: list[Tenant]) -> None:
    async with open_store(chosen) as store:
        for tenant in tenants:
            await store.remove_entry(Organization, tenant.organization_id, tenant.organization_id)
            await store.revoke(
                Revocation(
                    organization_id=tenant.organization_id,
                    kind=RevocationKind.ORGANIZATION,
                    subject="",
                    revoked_at_us=time.time_ns() // 1_000,
                )
            )


def _print(report: Report) -> None:
    done = ", ".join(f"{name} {count}" for name, count in sorted(report.operations.items()))
    click.echo(f"operations: {report.operations.total()} ({done})")
    click.echo(f"own values seen: {sum(report.seen.values())} on {len(report.seen)} surfaces")
    for timing in report.timings:
        times_ms = f"{timing.foreign_s * 1e3:.2f} / {timing.unknown_s * 1e3:.2f}"
        click.echo(f"{timing.surface}, another's / unknown: {times_ms} ms")
    for leak in report.leaks:
        click.echo(f"LEAK on {leak.surface}: {leak.reader}: {leak.what}")
    click.echo(f"leaks: {len(report.leaks)}")
