"""
The console: pages that show people what happens, and why, in the API's own process.

A page reads and changes by the functions that the API's routes call, behind the same
guard (``api/deps.py``); here stands how it looks. It works without any script. To add
one:

1. A route in ``routes/``, on a router of ``visitor.pages()``, with ``@needs(role)`` and
   ``methods=READ``; it ends in ``return page(request, "name.html", now=tx.now, …)``.
   A form's route has ``methods=SEND``, takes ``FormDep``, and ends in ``see(…)``. Its
   router goes into ``app.py``, its entry into ``NAV`` of ``page.py``.
2. A template in ``templates/`` that extends ``layout.html``; ``parts.html`` has macros
   for states, names, times, ids. Text is escaped and made harmless where it is printed:
   never use ``|safe``. No ``style=``, no inline script: the policy forbids them.
3. What moves: an element with an ``id`` and ``data-live="job task"``, the kinds of
   events that it is about; and ``{% block stream %}`` with the address of ``/stream``
   and its filters. The script fetches the page again and swaps those elements.
4. Beside each form ``{{ parts.same(hint) }}``, a :class:`hints.Hint`: the ``assay``
   command and the ``curl`` that do the same.
"""

from __future__ import annotations
