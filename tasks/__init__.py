"""Prefect tasks."""

from seraser_core.proxies import prepare
from seraser_core.redaction import redact_logs

prepare()  # whichever process runs a task or a flow: Prefect's server may be on this machine
redact_logs()  # whichever process runs a task or a flow: its logs go to Prefect's server
