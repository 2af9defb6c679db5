"""Tags the texts of Arrow tables with a DistilBERT, by the line that `tagbert run` and `tagbert enrich` have.

>>> import tagbert
>>> tagger = tagbert.Tagger("models/tagbert-small", text="body")
>>> tagged = tagger.tag(batch)

`tagbert.spark`, `tagbert.ray`, `tagbert.polars` and `tagbert.duckdb` have a function for each of these engines.
"""

from tagbert._tagbert import TagbertError, __version__
from tagbert._tagger import Tagger

__all__ = ["TagbertError", "Tagger", "__version__"]
