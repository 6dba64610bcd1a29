"""
The analyzers that come with Assay, and their names.

Each lives in the module of its own name and is imported only by whoever runs it: their
libraries are heavy, and a machine may have only some of them.
"""

from __future__ import annotations

#: Short name of each bundled analyzer; also the name of its module in this package.
BUNDLED = ("document", "executable", "strings", "yara")
