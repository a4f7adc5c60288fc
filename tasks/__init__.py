"""Prefect tasks."""

from seraser_core.redaction import redact_logs

redact_logs()  # whichever process runs a task or a flow: its logs go to Prefect's server
