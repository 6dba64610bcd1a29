"""
What Magika's labels are called here.

Kinds whose structure our own rules read (PDF, Office, tables, programs) are not here, or
as a MIME type alone: where the rules do not see it, no worker that takes such files
could read it either. A text stays
one by its super type, and so for every worker that takes text.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.classify.kinds import kind
from orchestrator.contracts.assignment import Classification

#: Label of a text → (type, MIME type).
_TEXTS: Mapping[str, tuple[str, str]] = {
    "txt": ("text", "text/plain"),
    # What interpreters run.
    "asp": ("script", "text/asp"),
    "autohotkey": ("script", "text/x-autohotkey"),
    "autoit": ("script", "text/x-autoit"),
    "awk": ("script", "text/x-awk"),
    "batch": ("script", "text/x-msdos-batch"),
    "coffeescript": ("script", "text/coffeescript"),
    "javascript": ("script", "text/javascript"),
    "lua": ("script", "text/x-lua"),
    "perl": ("script", "text/x-perl"),
    "php": ("script", "text/x-php"),
    "powershell": ("script", "text/x-powershell"),
    "python": ("script", "text/x-python"),
    "ruby": ("script", "text/x-ruby"),
    "shell": ("script", "text/x-shellscript"),
    "tcl": ("script", "text/x-tcl"),
    "vba": ("script", "text/vbscript"),
    # What is compiled, rendered or read by a program of its own.
    "aidl": ("text", "text/x-aidl"),
    "asm": ("text", "text/x-asm"),
    "bazel": ("text", "text/x-bazel"),
    "bib": ("text", "text/x-bibtex"),
    "c": ("text", "text/x-c"),
    "clojure": ("text", "text/x-clojure"),
    "cmake": ("text", "text/x-cmake"),
    "cobol": ("text", "text/x-cobol"),
    "cpp": ("text", "text/x-c++"),
    "cs": ("text", "text/x-csharp"),
    "csproj": ("text", "text/xml"),
    "css": ("text", "text/css"),
    "csv": ("text", "text/csv"),
    "dart": ("text", "text/x-dart"),
    "dm": ("text", "text/x-dm"),
    "dockerfile": ("text", "text/x-dockerfile"),
    "dxf": ("text", "image/vnd.dxf"),
    "elixir": ("text", "text/x-elixir"),
    "erb": ("text", "text/x-erb"),
    "erlang": ("text", "text/x-erlang"),
    "fortran": ("text", "text/x-fortran"),
    "gemfile": ("text", "text/x-ruby"),
    "gemspec": ("text", "text/x-ruby"),
    "gitattributes": ("text", "text/x-gitattributes"),
    "gitmodules": ("text", "text/x-gitmodules"),
    "go": ("text", "text/x-go"),
    "gradle": ("text", "text/x-groovy"),
    "groovy": ("text", "text/x-groovy"),
    "handlebars": ("text", "text/x-handlebars-template"),
    "haskell": ("text", "text/x-haskell"),
    "hcl": ("text", "text/x-hcl"),
    "htaccess": ("text", "text/x-apache-conf"),
    "html": ("html", "text/html"),
    "ignorefile": ("text", "text/x-ignore"),
    "ini": ("text", "text/x-ini"),
    "java": ("text", "text/x-java"),
    "jinja": ("text", "text/x-jinja2-template"),
    "julia": ("text", "text/x-julia"),
    "kotlin": ("text", "text/x-kotlin"),
    "latex": ("text", "text/x-tex"),
    "lisp": ("text", "text/x-lisp"),
    "m3u": ("text", "audio/x-mpegurl"),
    "m4": ("text", "text/x-m4"),
    "makefile": ("text", "text/x-makefile"),
    "markdown": ("text", "text/markdown"),
    "matlab": ("text", "text/x-matlab"),
    "objectivec": ("text", "text/x-objcsrc"),
    "ocaml": ("text", "text/x-ocaml"),
    "pascal": ("text", "text/x-pascal"),
    "po": ("text", "text/x-gettext-translation"),
    "prolog": ("text", "text/x-prolog"),
    "proteindb": ("text", "chemical/x-pdb"),
    "proto": ("text", "text/x-proto"),
    "r": ("text", "text/x-r"),
    "rdf": ("text", "application/rdf+xml"),
    "rst": ("text", "text/x-rst"),
    "rust": ("text", "text/x-rust"),
    "scala": ("text", "text/x-scala"),
    "scss": ("text", "text/x-scss"),
    "sgml": ("text", "text/sgml"),
    "smali": ("text", "text/x-smali"),
    "solidity": ("text", "text/x-solidity"),
    "sql": ("text", "application/sql"),
    "srt": ("text", "application/x-subrip"),
    "stltext": ("text", "model/stl"),
    "sum": ("text", "text/x-checksums"),
    "swift": ("text", "text/x-swift"),
    "tsv": ("text", "text/tab-separated-values"),
    "textproto": ("text", "text/x-textproto"),
    "toml": ("text", "application/toml"),
    "twig": ("text", "text/x-twig"),
    "typescript": ("text", "text/x-typescript"),
    "vcxproj": ("text", "text/xml"),
    "verilog": ("text", "text/x-verilog"),
    "vhdl": ("text", "text/x-vhdl"),
    "vtt": ("text", "text/vtt"),
    "vue": ("text", "text/x-vue"),
    "xml": ("text", "text/xml"),
    "yaml": ("text", "application/yaml"),
    "yara": ("text", "text/x-yara"),
    "zig": ("text", "text/x-zig"),
    # What has a type of its own.
    "diff": ("diff", "text/x-diff"),
    "eml": ("eml", "message/rfc822"),
    "ics": ("ics", "text/calendar"),
    "ipynb": ("json", "application/x-ipynb+json"),
    "json": ("json", "application/json"),
    "jsonl": ("json", "application/jsonl"),
    "pem": ("pem", "application/x-pem-file"),
}

#: Label of what is no text → (type, super type, MIME type).
_BINARIES: Mapping[str, tuple[str, str, str]] = {
    "3gp": ("3gp", "video", "video/3gpp"),
    "ace": ("ace", "archive", "application/x-ace-compressed"),
    "applebplist": ("plist", "data", "application/x-bplist"),
    "bmp": ("bmp", "image", "image/bmp"),
    "bzip": ("bzip2", "archive", "application/x-bzip2"),
    "cab": ("cab", "archive", "application/vnd.ms-cab-compressed"),
    "cat": ("cat", "data", "application/vnd.ms-pki.seccat"),
    "chm": ("chm", "document", "application/vnd.ms-htmlhelp"),
    "coff": ("coff", "executable", "application/x-coff"),
    "crt": ("x509", "data", "application/pkix-cert"),
    "deb": ("deb", "archive", "application/vnd.debian.binary-package"),
    "dex": ("dex", "executable", "application/vnd.android.dex"),
    "dicom": ("dicom", "image", "application/dicom"),
    "dmg": ("dmg", "archive", "application/x-apple-diskimage"),
    "dsstore": ("ds_store", "data", "application/x-ds-store"),
    "dwg": ("dwg", "image", "image/vnd.dwg"),
    "emf": ("emf", "image", "image/emf"),
    "flac": ("flac", "audio", "audio/flac"),
    "flv": ("flv", "video", "video/x-flv"),
    "gif": ("gif", "image", "image/gif"),
    "gzip": ("gzip", "archive", "application/gzip"),
    "h5": ("hdf5", "data", "application/x-hdf5"),
    "hlp": ("hlp", "document", "application/winhlp"),
    "icns": ("icns", "image", "image/x-icns"),
    "ico": ("ico", "image", "image/vnd.microsoft.icon"),
    "iso": ("iso", "archive", "application/x-iso9660-image"),
    "javabytecode": ("java_class", "executable", "application/java-vm"),
    "jp2": ("jpeg2000", "image", "image/jp2"),
    "jpeg": ("jpeg", "image", "image/jpeg"),
    "lha": ("lha", "archive", "application/x-lzh-compressed"),
    "midi": ("midi", "audio", "audio/midi"),
    "mkv": ("mkv", "video", "video/x-matroska"),
    "mp3": ("mp3", "audio", "audio/mpeg"),
    "mp4": ("mp4", "video", "video/mp4"),
    "mscompress": ("szdd", "archive", "application/x-ms-compress"),
    "npy": ("npy", "data", "application/x-npy"),
    "ogg": ("ogg", "audio", "audio/ogg"),
    "one": ("onenote", "document", "application/onenote"),
    "onnx": ("onnx", "data", "application/x-onnx"),
    "otf": ("otf", "font", "font/otf"),
    "parquet": ("parquet", "data", "application/vnd.apache.parquet"),
    "pcap": ("pcap", "data", "application/vnd.tcpdump.pcap"),
    "pdb": ("pdb", "data", "application/x-ms-pdb"),
    "pickle": ("pickle", "data", "application/x-pickle"),
    "png": ("png", "image", "image/png"),
    "postscript": ("postscript", "document", "application/postscript"),
    "psd": ("psd", "image", "image/vnd.adobe.photoshop"),
    "pythonbytecode": ("pyc", "executable", "application/x-python-code"),
    "qt": ("mov", "video", "video/quicktime"),
    "rar": ("rar", "archive", "application/vnd.rar"),
    "rpm": ("rpm", "archive", "application/x-rpm"),
    "sevenzip": ("7z", "archive", "application/x-7z-compressed"),
    "sqlite": ("sqlite", "data", "application/vnd.sqlite3"),
    "squashfs": ("squashfs", "archive", "application/vnd.squashfs"),
    "stlbinary": ("stl", "data", "model/stl"),
    "swf": ("swf", "document", "application/vnd.adobe.flash.movie"),
    "tar": ("tar", "archive", "application/x-tar"),
    "tga": ("tga", "image", "image/x-tga"),
    "tiff": ("tiff", "image", "image/tiff"),
    "torrent": ("torrent", "data", "application/x-bittorrent"),
    "ttf": ("ttf", "font", "font/ttf"),
    "wasm": ("wasm", "executable", "application/wasm"),
    "wav": ("wav", "audio", "audio/x-wav"),
    "webm": ("webm", "video", "video/webm"),
    "webp": ("webp", "image", "image/webp"),
    "wmf": ("wmf", "image", "image/wmf"),
    "woff": ("woff", "font", "font/woff"),
    "woff2": ("woff2", "font", "font/woff2"),
    "xar": ("xar", "archive", "application/x-xar"),
    "xz": ("xz", "archive", "application/x-xz"),
    "zlibstream": ("zlib", "archive", "application/zlib"),
}


def find_kind(label: str, *, is_text: bool) -> Classification | None:
    """
    Return the kind that a label names; nothing if it says no more than is known.

    Args:
        is_text: Whether the rules have found a text, which nothing makes another thing.
    """
    if is_text and label == "txt":
        return None
    if label in _TEXTS:
        name, mime_type = _TEXTS[label]
        return kind(name, "text", mime_type)
    if label in _BINARIES and not is_text:
        return kind(*_BINARIES[label])
    return None
