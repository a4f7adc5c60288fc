"""`seraser up`: server, work pool, deployment and worker on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from seraser_core.cli.children import ROOT
from seraser_core.cli.console import errors, results
from seraser_core.proxies import has_proxies, refuse_unusable


def up(
    port: Annotated[int, typer.Option(help="Port of the Prefect server, on loopback.")] = 4200,
    home: Annotated[Path, typer.Option(help="Folder for Prefect's database and the logs.")] = Path(
        ".seraser/prefect"
    ),
    limit: Annotated[int, typer.Option(min=1, help="Flow runs at once.")] = 1,
) -> None:
    """Start a Prefect server, a work pool, the deployment and a worker; Ctrl-C ends them.

    Everything listens on this machine only.
    """
    from seraser_core.cli.services import DEPLOYMENT, Services
    from seraser_core.config import load_config

    refuse_unusable()
    delivered = load_config(ROOT / "deployments" / "configs" / "demo.yaml")
    with Services(port, home.absolute()) as services:
        errors.print(f"starting a Prefect server; logs are in {services.logs}")
        services.start_server()
        errors.print(f"making the work pool and the deployment {DEPLOYMENT}")
        services.deploy(limit)
        abandoned = services.abandoned()
        errors.print("starting a worker")
        services.start_worker()
        pages = services.pages()
        direct = f"  export NO_PROXY={os.environ.get('NO_PROXY', '')}\n" if has_proxies() else ""
        prefix = "uv run " if "UV" in os.environ else ""  # uv says so to what it runs
        results.print(
            "\nready. In another shell:\n\n"
            f"  export PREFECT_API_URL={services.api_url}\n{direct}"
            f"  {prefix}prefect deployment run {DEPLOYMENT} --watch\n\n"
            f"As delivered it runs the demo; results go to {delivered.output}\n\n"
            + "".join(f"{name:<10} {link}\n" for name, link in pages.items())
            + "\nCtrl-C ends all of it",
        )

        def wait(reason: str, seconds: float) -> None:
            errors.print(reason)
            services.wait(seconds)

        if outcome := abandoned.end(wait):
            errors.print(outcome)
        services.wait()
    errors.print("stopped")
