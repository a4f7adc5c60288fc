"""Options of where a run is computed; none of them changes a prediction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seraser_core.config.option_group import Options, mistake
from seraser_core.config.secrets import refuse_secret_url, refuse_secrets


class ExecutionOptions(Options):
    """Where shards are computed. It belongs to the place, not the run: run.json has none of it."""

    engine: Literal["auto", "threads", "processes", "dask", "deployments"] = Field(
        default="auto",
        description="threads: one device, in this process. processes: one process per CUDA device "
        "that this process may use. dask: workers of a Dask cluster, see address and cluster. "
        "deployments: flow runs of a Prefect deployment, see deployment; only in a flow. "
        "auto: processes where there are several devices and model.device is auto or cuda, else "
        "threads.",
    )
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default="auto",
        description="Number of processes, or of workers that `cluster` starts. auto: one per "
        "CUDA device, or one without a GPU; a cluster decides for itself.",
    )
    address: str | None = Field(
        default=None,
        description="Dask scheduler: tcp:// or tls:// with host and port, or a scheduler file.",
    )
    cluster: str | None = Field(
        default=None,
        description="Class that starts a Dask cluster, e.g. dask_jobqueue.SLURMCluster.",
        pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$",
    )
    cluster_options: dict[str, Any] = Field(
        default={}, description="Arguments of `cluster`; secrets belong in the environment."
    )
    deployment: str | None = Field(
        default=None,
        description="Prefect deployment of the flow seraser-part, e.g. seraser-part/gpu.",
    )
    parts: int = Field(
        default=8, ge=1, le=100, description="Flow runs of `deployment` that compute a run."
    )
    lost_workers: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How many workers may die over one shard, or flow runs over one part, before "
        "it fails.",
    )
    start_timeout: float = Field(
        default=600,
        gt=0,
        le=7 * 86400,
        description="Seconds to wait for the first worker, and for another if all are gone.",
    )

    textfile: str | None = Field(
        default=None,
        description="File for Prometheus, e.g. /var/lib/node_exporter/seraser.prom: progress, "
        "errors and accuracy so far, every 15 seconds.",
        pattern=r"^/.+\.prom$",
    )

    @model_validator(mode="after")
    def _one_place(self) -> ExecutionOptions:
        refuse_secret_url("address", self.address or "")
        refuse_secrets("cluster_options", self.cluster_options)
        named = [name for name in ("address", "cluster") if getattr(self, name) is not None]
        if self.engine == "dask" and len(named) != 1:
            found = "has both address and cluster" if named else "has neither address nor cluster"
            raise mistake(found, "write one of them: where Dask is, or how to start it", "engine")
        if self.engine != "dask" and named:
            raise mistake("is of engine: dask", "write engine: dask, or leave it out", named[0])
        if self.cluster_options and self.cluster is None:
            raise mistake("is of cluster", "write cluster, or leave it out", "cluster_options")
        if self.workers not in ("auto", 1) and self.engine in ("threads", "deployments"):
            remedy = "write engine: processes, or leave it out; of deployments, write parts"
            raise mistake(f"is not of engine: {self.engine}", remedy, "workers")
        if self.engine == "deployments" and self.deployment is None:
            raise mistake("has no deployment", "write deployment: seraser-part/gpu", "engine")
        if self.deployment is not None and not all(self.deployment.partition("/")):
            remedy = "write flow and deployment, such as seraser-part/gpu"
            raise mistake(repr(self.deployment), remedy, "deployment")
        if self.engine != "deployments" and self.deployment is not None:
            remedy = "write engine: deployments, or leave it out"
            raise mistake("is of engine: deployments", remedy, "deployment")
        return self
