"""Sessions: model, methods and prompts of a run, made once per process and kept between shards."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from seraser_core.auxiliary.relevance import Relevance
from seraser_core.config import RunConfig, parse_config
from seraser_core.cores import usable_cores
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.kinds import IMAGE, RELEVANCE, SEGMENT, View
from seraser_core.methods import Method, MethodContext
from seraser_core.methods.calls import build_method
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.models.prompts import indistinguishable_classes
from seraser_core.results.fingerprints import differing, fingerprint, pool_hashes
from seraser_core.results.records import RunRecord
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.runner.images import Images, PlannedImages
from seraser_core.runner.inputs import build_run_prompts, fingerprint_inputs
from seraser_core.runner.precision import slow_here
from seraser_core.runner.segmenting import SegmentingThread, get_segmenter
from seraser_core.sources.isolated import IsolatedDecoder

logger = logging.getLogger(__name__)


class SampleFits:
    """Methods that have learned from a sample of the images, in this process.

    Attributes:
        lock: Held while they do.
        done: Ids of those that have.
        seconds: Id -> time it took, until a shard's timings take it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.done: set[str] = set()
        self.seconds: dict[str, float] = {}


class Session:
    """A run, opened for computing.

    Args:
        images: Its images.
        run: Its run.json.
        config: Its configuration.
        context: The model, the prompts and what else its methods share.
        methods: Its methods.
        compute: The ``runtime.parallel_shards`` threads that compute. They stay, for torch's own
            threads and memory belong to the thread that calls it.
        batch_sizes: Stage of the work -> images at once; halved where memory ran out, and kept
            for all runs of this process with the same model, device, prompts and methods.
        relevance: Makes masks of what the model sees; None when no method needs them.
        segmenter: Makes masks of images; None when no method needs them.
        pools: Id of a method -> images of another split, from which it learns.
        load_s: Seconds that opening took.

    Attributes:
        model: The model of `context`.
        views: All views that any method needs; ``image`` is always among them.
        sample_fits: Methods that learn from a sample first.
        tells: Id of a method -> what it returns beside logits.
        isolated: The decoder whose processes can be killed; None until one is needed.
        words_kept: Whether this process has seen to the words that can name surroundings.
    """

    def __init__(
        self,
        images: Images,
        run: RunRecord,
        config: RunConfig,
        context: MethodContext,
        methods: list[Method],
        compute: ThreadPoolExecutor,
        batch_sizes: dict[str, int],
        relevance: Relevance | None,
        segmenter: SegmentingThread | None,
        pools: Mapping[str, pa.Table],
        load_s: float,
    ) -> None:
        self.images, self.run, self.config = images, run, config
        self.context, self.model, self.methods = context, context.model, methods
        self.compute, self.batch_sizes = compute, batch_sizes
        self.relevance, self.segmenter, self.pools = relevance, segmenter, pools
        self.views = tuple(dict.fromkeys([IMAGE, *(v for m in methods for v in m.views)]))
        self.sample_fits = SampleFits()
        self.tells: dict[str, tuple[str, ...]] = {}
        self.isolated: IsolatedDecoder | None = None
        self.words_kept = False
        self._load_s = load_s
        self._lock = threading.Lock()

    @property
    def needs_relevance(self) -> bool:
        """True if relevance masks are needed for all images, not just a fitting sample."""
        saved = self.config.save_masks and self.relevance is not None
        return saved or any(view.region == RELEVANCE for view in self.views)

    def view_bytes(self, views: Iterable[View]) -> int:
        """Bytes of these views of one image, as they wait for the model."""
        height, width = self.model.preprocessing.size
        return 3 * height * width * sum(view.count for view in views)

    def isolated_decoder(self) -> IsolatedDecoder:
        """The decoder whose processes can be killed; made once."""
        with self._lock:
            if self.isolated is None:
                cores = len(usable_cores())
                self.isolated = IsolatedDecoder(cores + 1, self.config.runtime.image_timeout)
                weakref.finalize(self, self.isolated.close)
            return self.isolated

    def take_load_s(self) -> float:
        """Return the seconds that opening took on the first call; 0 on later ones."""
        with self._lock:
            seconds, self._load_s = self._load_s, 0.0
            return seconds


_cache: dict[tuple[str, str], Session] = {}
_batch_sizes: dict[str, dict[str, int]] = {}
_lock = threading.Lock()


def open_session(run_url: str) -> Session:
    """Return the session of a run; the last one is kept, so a worker loads its model once.

    Another run.json makes another session: a resumed run may have other options.

    Raises:
        RunDirectoryError: There is no run, or what would be computed here is not what was
            planned: other weights, other items, another decoder.
    """
    directory = opened(run_url)
    run = directory.run
    key = (directory.url, fingerprint(run.model_dump(mode="json")))
    with _lock:
        if key not in _cache:
            on_gpu = any(last.model.device.type == "cuda" for last in _cache.values())
            _cache.clear()
            if on_gpu:
                gc.collect()  # or recorded steps of the last one would keep gigabytes
            threads = run.config.runtime.parallel_shards
            compute = ThreadPoolExecutor(threads, thread_name_prefix="compute")
            _cache[key] = compute.submit(_open, directory, run, compute).result()
        return _cache[key]


def _open(directory: RunDirectory, run: RunRecord, compute: ThreadPoolExecutor) -> Session:
    began = time.perf_counter()
    try:
        config = parse_config(run.config.document())
    except ConfigError as error:
        raise RunDirectoryError(f"{directory.path('run.json')}: {error}") from error
    directory.check_items()
    planned = run.fingerprint_inputs.document()
    # The plan decided the precision; a worker with another device must not change it.
    model = get_model(config.model.model_copy(update={"precision": planned["precision"]}))
    if told := slow_here(config.model, planned["precision"], model.device.type):
        logger.warning(told)
    classes, attributes = run.classes, run.attributes
    prompts = build_run_prompts(config, classes, model)
    pools = {
        method.id: directory.pool(method.id)
        for method in config.methods
        if method.other_split() is not None
    }
    here = fingerprint_inputs(
        config, classes, attributes, prompts, model, run.plan_hash, pool_hashes(pools)
    )
    said = run.model_dump(mode="json", include={"classes", "prompts", "methods"})
    if any(value != planned.get(name) for name, value in said.items()):
        raise RunDirectoryError(f"{directory.path('run.json')} was edited", "plan a new run")
    if {fingerprint(here), fingerprint(planned)} != {run.fingerprint}:
        raise RunDirectoryError(
            f"{directory.url} was planned otherwise than it would be computed here; these differ: "
            f"{', '.join(differing(planned, here)) or 'the fingerprint'}",
            "plan a new run",
        )
    images = PlannedImages(directory, config.dataset)
    context = MethodContext(model, prompts, config.runtime.kernels)
    return make_session(images, run, config, context, compute, began, pools)


def make_session(
    images: Images,
    run: RunRecord,
    config: RunConfig,
    context: MethodContext,
    compute: ThreadPoolExecutor,
    began: float,
    pools: Mapping[str, pa.Table] | None = None,
) -> Session:
    """Make a session: its methods, and what makes masks for them.

    Args:
        images: The images.
        run: The run, as `describe_run` describes it.
        config: Its configuration.
        context: Its model and prompts.
        compute: See `Session`.
        began: Moment of `time.perf_counter` at which its opening began.
        pools: See `Session`.

    Raises:
        ConfigError: A method cannot be built.
    """
    model, classes = context.model, run.classes
    for one, other in indistinguishable_classes(context.class_features, classes)[:3]:
        logger.warning(
            "the model cannot tell %r and %r apart: their text features are equal, and "
            "predictions between them mean nothing",
            one,
            other,
        )
    methods = [build_method(options, context) for options in config.methods]
    relevance = segmenter = None
    if config.needs(RELEVANCE):
        relevance = Relevance(config.relevance, model, context.class_features)
    if config.needs(SEGMENT):
        segmenter = get_segmenter(config.segment, classes, model.device)
    planned = run.fingerprint_inputs.document()
    return Session(
        images,
        run,
        config,
        context,
        methods,
        compute,
        batch_sizes=_batch_sizes.setdefault(_same_memory(config, planned, model), {}),
        relevance=relevance,
        segmenter=segmenter,
        pools=pools or {},
        load_s=time.perf_counter() - began,
    )


def _same_memory(config: RunConfig, planned: dict[str, Any], model: ClipModel) -> str:
    """Hash of all that decides how much memory an image takes, and how much there is."""
    wanted = {name: planned[name] for name in ("architecture", "precision", "prompts", "methods")}
    place = {"device": str(model.device), "batch_size": config.runtime.batch_size}
    return fingerprint(wanted | place)
