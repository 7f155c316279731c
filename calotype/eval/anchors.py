"""Published rate-distortion curves, read from files in the format of CompressAI's results folder.

    {"name": "VTM", "results": {"bpp": [...], "psnr-rgb": [...], ...}}

Each point is a mean over the pictures of a data set, of bits per pixel and of the PSNR in dB: as CompressAI's bench and
eval_model commands average, and as `eval.images` does.
"""

from __future__ import annotations

import json
from pathlib import Path

from calotype.errors import UsageError
from calotype.eval.bdrate import Curve


def read_anchor(path: Path) -> Curve:
    """The PSNR-RGB curve of such a file, under the file's own name. Raises UsageError saying what is wrong with it."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        rates, psnrs = ([float(value) for value in results[key]] for key in ("bpp", "psnr-rgb"))
    except OSError as error:
        raise UsageError(f"cannot read the anchor {path}: {error.strerror or error}") from error
    except KeyError as error:
        raise UsageError(f"the anchor {path} has no {error}: it needs results.bpp and results.psnr-rgb") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"the anchor {path} is not a CompressAI results file ({error})") from error
    return Curve(path.stem, rates, psnrs)
