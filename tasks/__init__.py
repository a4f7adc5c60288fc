"""Prefect tasks."""

from seraser_core.proxies import prepare
from seraser_core.redaction import redact_logs

prepare()  # in every process that runs a task or a flow: the server may be on this machine
redact_logs()  # in every process that runs a task or a flow: its logs go to Prefect's server
