"""Erasing and finding shortcuts from Python: the functions behind ``from seraser_core import``.

Images are given as files, URLs, pictures or arrays and are computed in this process by what also
computes the shards of a run (`seraser_core.runner`): the same feed, the same methods, the same
rows. Nothing is written to a disk, and the model stays loaded between calls.
"""

import warnings

# Of tqdm, which packages below import: no progress bar of theirs is shown here.
warnings.filterwarnings("ignore", message="IProgress not found")
