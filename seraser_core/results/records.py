"""The JSON records of a run directory: what each holds, how it is read, written and sealed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from seraser_core import storage
from seraser_core.errors import HangError, RunDirectoryError
from seraser_core.results.picture_sums import PictureSums
from seraser_core.results.sums import MethodSums
from seraser_core.sources.items import ShardRange

READERS = 16
"""Records read at once: each is a small read from far away."""


class Record(BaseModel):
    """A record. What a newer version wrote into it is kept when it is read."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, data: bytes, url: str, remedy: str = "") -> Self:
        """Read the record from the bytes of its file.

        Args:
            data: UTF-8 JSON.
            url: The file, for messages.
            remedy: What to do about a damaged one, for messages.

        Raises:
            RunDirectoryError: It is no such record; names the file.
        """
        try:
            from_json(data, allow_inf_nan=False)  # which a field that is not known might hold
            return cls.model_validate_json(data)
        except ValueError as error:
            fault = _fault(error) if isinstance(error, ValidationError) else str(error)
            raise RunDirectoryError(f"{url} is damaged: {fault}", remedy) from None

    @classmethod
    def read(cls, url: str) -> Self:
        """Read the record at `url`.

        Raises:
            FileNotFoundError: There is none.
            RunDirectoryError: It cannot be read, or is no such record.
            TransientError: A fault that may pass.
        """
        return cls.parse(read(url), url)

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return encode(self.model_dump(mode="json"))

    def sealed(self) -> bytes:
        """Return the bytes of its file with a seal, see `seal_fault`."""
        return encode(seal(self.model_dump(mode="json")))


class MethodRecord(Record):
    """A method of a run.

    Attributes:
        id: Its name in the rows.
        name: Which method it is.
        options: Its options.
        stateful: Whether its rows depend on those before them in the shard.
    """

    id: str
    name: str
    options: dict[str, Any]
    stateful: bool


class RuntimeRecord(Record):
    """Options of computing, as `RunRecord.config` has them."""

    retries: int = Field(ge=0)
    parallel_shards: int = Field(ge=1)


class ModelRecord(Record):
    """Options of the model, as `RunRecord.config` has them."""

    name: str


class ConfigRecord(Record):
    """A configuration as it was when it was planned; `parse_config` reads all of it."""

    dataset: dict[str, Any]
    model: ModelRecord
    methods: list[dict[str, Any]]
    runtime: RuntimeRecord
    save_logits: bool

    def document(self) -> dict[str, Any]:
        """Return it as it was written."""
        return self.model_dump(mode="json")


class FingerprintInputs(Record):
    """Everything that can change a row of a run, see `fingerprint_inputs`.

    Attributes:
        weights: Hash of the model's weights.
        precision: That of its towers.
    """

    weights: str
    precision: str

    def document(self) -> dict[str, Any]:
        """Return them as they were written."""
        return self.model_dump(mode="json")


class RunRecord(Record):
    """run.json.

    Attributes:
        run_id: Name of the run directory.
        name: That of the configuration.
        fingerprint: Hash of `fingerprint_inputs`.
        fingerprint_inputs: All that can change a row.
        plan_hash: Hash of the planned items and shards.
        config: The configuration.
        classes: Names of the classes.
        labels: What stands in the data for each class.
        attributes: Names of the attributes.
        train_counts: ``"<label> <attribute>"`` -> images of the training split, where known.
        prompts: One per class.
        methods: In the order of the rows of an image.
        random_weights: Whether the weights are random, for tests.
        versions: Package -> version with which it was planned.
        device: On which it was planned, see `Timings`.
        created: When it was planned, ISO 8601 in UTC.
        command: The command line with which it was planned first, or the Prefect deployment or
            call, without secrets; empty where it is not known.
    """

    run_id: str
    name: str
    fingerprint: str
    fingerprint_inputs: FingerprintInputs
    plan_hash: str
    config: ConfigRecord
    classes: list[str]
    labels: list[str] | None = None
    attributes: list[str]
    train_counts: dict[str, int] = {}
    prompts: list[str]
    methods: list[MethodRecord]
    random_weights: bool
    versions: dict[str, str] = {}
    device: dict[str, str | int] = {}
    created: str
    command: str = ""

    @property
    def method_ids(self) -> list[str]:
        """The methods' names in the rows, in their order."""
        return [method.id for method in self.methods]


class Plan(Record):
    """plan/plan.json.

    Attributes:
        planner_version: Version of what made the shards.
        source: Where the items are from.
        limits: Most items and bytes of a shard.
        shards: In order.
        items_sha256: Of plan/items.parquet; empty before that is written.
        footer_sha256: Of its footer.
        groups_sha256: Of its row groups, one per shard.
    """

    planner_version: int
    source: dict[str, Any]
    limits: dict[str, Any]
    shards: list[ShardRange]
    items_sha256: str = ""
    footer_sha256: str = ""
    groups_sha256: list[str] = []


class Timings(Record):
    """Time that a shard took, in seconds unless said otherwise.

    Attributes:
        images: Number of images that were computed.
        wall_s: By the clock.
        load_s: Loading the model, where this shard was the first.
        data_wait_s: Waiting for pictures that were not decoded yet.
        model_s: Of the model.
        encode_s: Of its image tower, a part of `model_s`.
        fetch_s: Fetching files, over all threads.
        decode_s: Decoding pictures, over all threads.
        masks_s: Putting masks into storage.
        fetch_wait_s: Waiting for the next image while it was fetched.
        decode_wait_s: Waiting for the next image while it was decoded.
        rows_s: Making rows and sums.
        methods: Method -> its steps.
        views: Method -> what the views cost that it needs beside the image.
        peak_bytes: Method -> most memory of the GPU that was in use during its steps, with the
            model; rough where the process computed several shards at once, which share a counter.
            Empty on a CPU, and in records of earlier versions.
        batch_size: Images at once.
        parallel_shards: Shards that the process computed at once, at most.
        device: Its kind, name, threads and machine.
    """

    images: int
    wall_s: float
    load_s: float
    data_wait_s: float
    model_s: float
    encode_s: float
    fetch_s: float
    decode_s: float
    masks_s: float
    fetch_wait_s: float
    decode_wait_s: float
    rows_s: float
    methods: dict[str, float]
    views: dict[str, float]
    peak_bytes: dict[str, int] = {}
    batch_size: int
    parallel_shards: int
    device: dict[str, str | int]

    def seconds(self) -> dict[str, float]:
        """Name -> seconds, of those that are sums over the whole shard."""
        return {name: value for name, value in self if name.endswith("_s")}


class Computed(Record):
    """Sums, times and places of computed items of a shard: all but their rows.

    Attributes:
        images: Number of items.
        methods: Method -> sums of its rows.
        pictures: Statistics of their pictures.
        timings: Where the time went.
        host: Name of the machine.
        process: The process, with the time it began.
        started: When the items were begun, in seconds since 1970.
    """

    images: int
    methods: dict[str, MethodSums]
    pictures: PictureSums
    timings: Timings
    host: str
    process: str
    started: float


class Input(Record):
    """A file that was read though it is not as it was planned.

    Attributes:
        size: Its bytes.
        version: Its version, where a listing tells one.
    """

    size: int
    version: str | None


class Commit(Computed):
    """commits/<shard>.<n>.json, with which the rows of a shard count.

    Attributes:
        shard: Id of the shard.
        n: From 0; commit n + 1 keeps every good row of commit n.
        fingerprint: That of the run.
        plan_hash: That of the run.
        rows: Number of rows.
        ok: Number of good rows.
        errors: Number of error rows.
        failed: Method -> indices of the items of its error rows.
        sha256: Of the Parquet file with the rows.
        bytes: Its size.
        inputs: item_index -> the file that was read instead of the planned one.
        cause: ``run``, ``repair`` or ``retry``: why it was computed.
        write_s: Seconds from the finished rows to this commit.
        finished: When it was made, in seconds since 1970.
    """

    shard: str
    n: int
    fingerprint: str
    plan_hash: str
    rows: int
    ok: int
    errors: int
    failed: dict[str, list[int]]
    sha256: str
    bytes: int
    inputs: dict[int, Input]
    cause: str
    write_s: float
    finished: float

    def loses(self, failed: Mapping[str, list[int]]) -> Iterator[tuple[int, str]]:
        """Yield item_index and method of its good rows that are in `failed`."""
        return newly_failed(self.failed, failed)


class Failure(Record):
    """failures/<shard>.json: the latest attempt at a shard.

    Attributes:
        shard: Id of the shard.
        attempt: Its number, from 1.
        error: Class of the error it ended with; None while it goes on, or if its worker died.
        message: The error's text.
        where: The line that raised it.
        isolated: Whether it decoded in child processes, as a worker had died or hung before.
        time: When it began or failed, ISO 8601 in UTC.
    """

    shard: str
    attempt: int
    error: str | None
    message: str
    where: str
    isolated: bool
    time: str

    @classmethod
    def now(
        cls,
        shard: str,
        attempt: int,
        error: str | None = None,
        message: str = "",
        where: str = "",
        isolated: bool = False,
    ) -> Self:
        """Make the record of something that happens now."""
        return cls(
            shard=shard,
            attempt=attempt,
            error=error,
            message=message,
            where=where,
            isolated=isolated,
            time=now(),
        )

    @property
    def moment(self) -> datetime:
        """When it began or failed; long ago where the record does not tell."""
        try:
            return datetime.fromisoformat(self.time).astimezone(UTC)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)

    @property
    def is_suspicious(self) -> bool:
        """True if a worker died in it, or a decoder hung: the next one decodes in processes."""
        return self.isolated or self.error in (None, HangError.__name__)

    def __str__(self) -> str:
        return f"{self.error}: {self.message}"


class ComparedRecord(Record):
    """A run in comparison.json."""

    dataset: str
    model: str
    run_id: str
    run: str


class ComparisonRecord(Record):
    """comparison.json."""

    name: str
    runs: list[ComparedRecord]


class ReportFiles(Record):
    """report/files.json.

    Attributes:
        commits: Hash of the commits that the report was made from.
        files: Name -> SHA-256 of the report's files.
    """

    commits: str
    files: dict[str, str]


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def newly_failed(
    before: Mapping[str, list[int]], after: Mapping[str, list[int]]
) -> Iterator[tuple[int, str]]:
    """Yield item_index and method of the rows that failed after and not before, in order."""
    lost = (
        (item, method)
        for method, items in after.items()
        for item in set(items) - set(before.get(method, ()))
    )
    return iter(sorted(lost))


def read(url: str) -> bytes:
    """Read the bytes of a file of a run directory.

    Raises:
        FileNotFoundError: There is none.
        RunDirectoryError: It cannot be read, nor could it be by trying again.
        TransientError: A fault that may pass.
    """
    with reading(url):
        return storage.read_bytes(url)


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Sort the faults of reading the file at `url`, as `read` does."""
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(str(error)) from None
    except (OSError, ValueError, ImportError) as error:
        raise RunDirectoryError(f"{url} cannot be read: {error}") from error


@contextmanager
def writing(url: str) -> Iterator[None]:
    """Sort the faults of writing the file at `url`, as `read` does."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunDirectoryError(f"{url} cannot be written: {error}") from error


def encode(document: Any) -> bytes:
    """Encode JSON with sorted keys: equal documents give equal bytes."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` with its own SHA-256 under ``seal``, so that any change of it shows."""
    content = {key: value for key, value in document.items() if key != "seal"}
    return {**content, "seal": hashlib.sha256(encode(content)).hexdigest()}


def seal_fault(data: bytes) -> str | None:
    """Return why the bytes of a record are not those of a sealed one; None when they are."""
    document = json.loads(data)
    if "seal" not in document:
        return "has no seal: it was changed, or written before there were seals"
    try:
        same = encode(seal(document)) == data
    except (ValueError, RecursionError):  # numbers or texts that are never written
        same = False
    return None if same else "is not as it was written: its seal is off"


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
