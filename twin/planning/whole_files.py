"""Several files that appear together or not at all."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_files(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder on the same disk to write into; when all went well, its files are moved into `out`.

    Args:
        out: made if needed; files of the same names are replaced, others stay.
        names: of the files, all of which must have been written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield staging
        out.mkdir(exist_ok=True)
        for name in names:
            (staging / name).replace(out / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
