"""How the code of an executed notebook's cells is shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nbconvert.filters.highlight import Highlight2HTML
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from bigmama_nb.site.notebooks import rendered

CODE = [
    "profile: str = ''  # a path\n\n\ndef f(x, *y):\n    return [*y, x @ 2, f'{x:,}', r'\\d'] if x == 1 else None",
    "import pandas as pd\nframe.groupby('type')[['value']].agg(['sum'])\nassert x is not None, \"no\"",
    "async def g():\n    async with a as b: yield b\nlambda: (yield)\n",
]
MAGIC = ["%%timeit\nx = 1", "%matplotlib inline\nx = 1", "!ls -l", "frame?", "a != b and a % b", "'50%'"]


def as_ipython_would(source: str) -> str:
    """Return a cell's code as the lexer of IPython's own language marks it."""
    highlighted: Any = Highlight2HTML
    shown = highlighted(pygments_lexer="ipython3")(source)
    return re.sub(r"hl-\w+", "", shown).strip()


@pytest.mark.parametrize("source", [*CODE, *MAGIC])
def test_code_is_marked_as_ipython_marks_it(source: str) -> None:
    """Whether that takes IPython's own lexer or Python's."""
    cells = [new_markdown_cell("Is 100% well?"), new_code_cell(source)]
    page = re.sub(r"hl-\w+", "", rendered(writes(new_notebook(cells=cells)))[0]).replace('<pre tabindex="0">', "<pre>")

    assert as_ipython_would(source) in page
