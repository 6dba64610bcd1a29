"""
One small input of each kind that analysts meet, and its name, family and MIME type.

The kinds whose details matter (Office, text, machines) have tests of their own.
"""

# ruff: noqa: E501  (a kind a line)
from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import uuid
import zipfile
import zlib

import pytest

from orchestrator.classify import classify
from orchestrator.classify.labels import _BINARIES, _TEXTS
from orchestrator.store import HEAD_BYTES, TAIL_BYTES
from workers.cli.loading import get_analyzer


def _zip(*names: str, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


def _elf(kind: int, machine: int = 62) -> bytes:
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    return head + struct.pack("<HH", kind, machine) + b"\0" * 44


def _pe(machine: int = 0x8664) -> bytes:
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return dos + b"PE\0\0" + struct.pack("<H", machine) + b"\0" * 200


def _compound_file(name: str, *, root: str = f"{0:032x}") -> bytes:
    header = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0"))
    struct.pack_into("<H", header, 0x1E, 9)
    first = "Root".encode("utf-16-le").ljust(80, b"\0") + uuid.UUID(root).bytes_le
    entry = name.encode("utf-16-le").ljust(128, b"\0")
    return bytes(header) + first.ljust(128, b"\0") + entry.ljust(896, b"\0")


def _at(offset: int, mark: bytes) -> bytes:
    return b"\0" * offset + mark + b"\0" * 600


def _der(*parts: bytes) -> bytes:
    return b"".join(parts).ljust(300, b"\1")


_PKCS7 = bytes.fromhex("06092a864886f70d010702")
_MAIL = "From: a@b.c\nTo: d@e.f\nSubject: x\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n"

#: (type, super type, MIME type, content).
KINDS: list[tuple[str, str, str, bytes]] = [
    # Programs.
    ("pe", "executable", "application/vnd.microsoft.portable-executable", _pe()),
    ("elf", "executable", "application/x-elf", _elf(2)),
    ("elf_core", "data", "application/x-coredump", _elf(4)),
    ("macho", "executable", "application/x-mach-binary", b"\xcf\xfa\xed\xfe\x07\0\0\x01"),
    ("java_class", "executable", "application/java-vm", b"\xca\xfe\xba\xbe\0\0\0\x34"),
    ("dex", "executable", "application/vnd.android.dex", b"dex\n035\0"),
    ("wasm", "executable", "application/wasm", b"\0asm\1\0\0\0"),
    ("pyc", "executable", "application/x-python-code", b"\xa7\x0d\r\n" + b"\0" * 12 + b"\xe3"),
    ("coff", "executable", "application/x-coff", b"\x64\x86\x02\0" + b"\1" * 12 + b"\0\0\0\0.text\0"),
    ("apk", "executable", "application/vnd.android.package-archive", _zip("AndroidManifest.xml", "classes.dex")),
    ("jar", "executable", "application/java-archive", _zip("META-INF/MANIFEST.MF", "A.class")),
    ("ipa", "executable", "application/x-ios-app", _zip("Payload/A.app/Info.plist")),
    ("msi", "executable", "application/x-msi", _compound_file("x", root="000c1084-0000-0000-c000-000000000046")),
    # Archives and images of disks.
    ("zip", "archive", "application/zip", _zip("a")),
    ("7z", "archive", "application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c\0\4"),
    ("rar", "archive", "application/vnd.rar", b"Rar!\x1a\x07\x01\0"),
    ("cab", "archive", "application/vnd.ms-cab-compressed", b"MSCF\0\0\0\0"),
    ("tar", "archive", "application/x-tar", _tar()),
    ("gzip", "archive", "application/gzip", gzip.compress(b"x")),
    ("bzip2", "archive", "application/x-bzip2", b"BZh91AY&SY\0"),
    ("xz", "archive", "application/x-xz", lzma.compress(b"x")),
    ("lzma", "archive", "application/x-lzma", lzma.compress(b"x", lzma.FORMAT_ALONE)),
    ("zstd", "archive", "application/zstd", b"\x28\xb5\x2f\xfd\x20\x01"),
    ("lz4", "archive", "application/x-lz4", b"\x04\x22\x4d\x18\x64"),
    ("zlib", "archive", "application/zlib", zlib.compress(b"x" * 99)),
    ("compress", "archive", "application/x-compress", b"\x1f\x9d\x90\x61"),
    ("ace", "archive", "application/x-ace-compressed", b"\x11" * 7 + b"**ACE**"),
    ("arj", "archive", "application/x-arj", b"\x60\xea\x2a\0\x1e\x0b"),
    ("lha", "archive", "application/x-lzh-compressed", b"\x22\x11-lh5-\0"),
    ("zoo", "archive", "application/x-zoo", b"ZOO 2.10 Archive.\x1a"),
    ("ar", "archive", "application/x-archive", b"!<arch>\nfoo.o/"),
    ("deb", "archive", "application/vnd.debian.binary-package", b"!<arch>\ndebian-binary   "),
    ("rpm", "archive", "application/x-rpm", b"\xed\xab\xee\xdb\3\0"),
    ("cpio", "archive", "application/x-cpio", b"070701" + b"0" * 104),
    ("szdd", "archive", "application/x-ms-compress", b"SZDD\x88\xf0'3A\0"),
    ("squashfs", "archive", "application/vnd.squashfs", b"hsqs\0\0"),
    ("iso", "archive", "application/x-iso9660-image", _at(32769, b"CD001\1")),
    ("udf", "archive", "application/x-udf-image", _at(32769, b"BEA01\1")),
    ("dmg", "archive", "application/x-apple-diskimage", b"\1" * 700 + b"koly\0\0\0\x04" + b"\0" * 504),
    ("vhd", "archive", "application/x-vhd-disk", b"\1" * 700 + b"conectix" + b"\0" * 504),
    ("vhdx", "archive", "application/x-vhdx-disk", b"vhdxfile"),
    ("vmdk", "archive", "application/x-vmdk-disk", b"KDMV\x01\0\0\0"),
    ("qcow2", "archive", "application/x-qemu-disk", b"QFI\xfb\0\0\0\3"),
    ("ewf", "archive", "application/x-ewf-disk", b"EVF\x09\r\n\xff\0\1"),
    ("luks", "archive", "application/x-luks-volume", b"LUKS\xba\xbe\0\2"),
    ("wim", "archive", "application/x-ms-wim", b"MSWIM\0\0\0"),
    ("warc", "archive", "application/warc", b"WARC/1.0\r\nWARC-Type: response\r\n"),
    # Documents, mail and what opens something else.
    ("pdf", "document", "application/pdf", b"%PDF-1.7\n"),
    ("rtf", "document", "application/rtf", b"{\\rt x"),
    ("lnk", "document", "application/x-ms-shortcut", b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0"),
    ("url", "document", "application/x-mswinurl", b"[InternetShortcut]\r\nURL=x"),
    ("scf", "document", "application/x-ms-scf", b"[Shell]\r\nCommand=2\r\n"),
    ("rdp", "document", "application/x-rdp", "screen mode id:i:2\r\n".encode("utf-16")),
    ("chm", "document", "application/vnd.ms-htmlhelp", b"ITSF\3\0\0\0"),
    ("hlp", "document", "application/winhlp", b"\x3f\x5f\x03\0"),
    ("onenote", "document", "application/onenote", b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1"),
    ("swf", "document", "application/vnd.adobe.flash.movie", b"CWS\x0a\x10\x10\0\0x"),
    ("wri", "document", "application/x-mswrite", b"\x31\xbe\0\0\0\xab"),
    ("epub", "document", "application/epub+zip", _zip("mimetype", content=b"application/epub+zip")),
    ("eml", "document", "message/rfc822", _MAIL.encode() + b"\nhi"),
    ("eml", "document", "message/rfc822", _MAIL.encode() + b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"),
    ("msg", "document", "application/vnd.ms-outlook", _compound_file("__properties_version1.0")),
    ("mht", "document", "multipart/related", b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n\n"),
    ("pst", "document", "application/vnd.ms-outlook-pst", b"!BDN\0\0\0\0SM"),
    ("tnef", "document", "application/vnd.ms-tnef", b"\x78\x9f\x3e\x22\0\0"),
    ("xml", "document", "application/x-ms-settingcontent", b"<?xml version='1.0'?><PCSettings><x/></PCSettings>"),
    ("html", "document", "text/html", b"<!DOCTYPE html>\n<html>"),
    ("postscript", "document", "application/postscript", b"%!PS-Adobe-3.0\n"),
    ("git_pack", "archive", "application/x-git-pack", b"PACK\0\0\0\2\0\0\0\1"),
    ("snappy", "archive", "application/x-snappy-framed", b"\xff\x06\0\0sNaPpY"),
    ("alz", "archive", "application/x-alz", b"ALZ\1\x0a\0\0\0"),
    ("lrzip", "archive", "application/x-lrzip", b"LRZI\0\6"),
    ("zpaq", "archive", "application/x-zpaq", b"zPQ\1\1"),
    ("egg", "archive", "application/x-egg", b"EGGA\0\1\0"),
    ("beam", "executable", "application/x-erlang-beam", b"FOR1\0\0\1\0BEAMAtU8\0\0"),
    ("lua_bytecode", "executable", "application/x-lua-bytecode", b"\x1bLJ\2\n"),
    ("odex", "executable", "application/x-android-odex", b"dey\n036\0"),
    ("oat", "executable", "application/x-android-oat", b"oat\n064\0"),
    ("vdex", "executable", "application/x-android-vdex", b"vdex019\0"),
    ("xcoff", "executable", "application/x-xcoff", b"\x01\xdf\0\4" + b"\0" * 20),
    ("netcdf", "data", "application/x-netcdf", b"CDF\1\0\0\0\0\0\0\0\n"),
    ("dbf", "data", "application/x-dbf", b"\x03\x78\1\1\5\0\0\0\x61\0\x20\0" + b"\0" * 20),
    ("crl", "data", "application/pkix-crl", b"\x30\x82\1\x10\x30\x81\xfa\2\1\1\x30\x0d\6\x09"),
    ("git_index", "data", "application/x-git-pack-index", b"\xfftOc\0\0\0\2"),
    ("git_index", "data", "application/x-git-index", b"DIRC\0\0\0\2"),
    ("pgdump", "data", "application/x-pgdump", b"PGDMP\1\x0e\0"),
    ("journal", "data", "application/x-systemd-journal", b"LPKSHHRH\0\0\0\0"),
    ("esedb", "data", "application/x-ms-ese", b"\0\1\2\3\xef\xcd\xab\x89\x20\6\0\0"),
    ("thumbcache", "data", "application/x-ms-thumbcache", b"CMMM\x20\0\0\0"),
    ("memory_dump", "data", "application/x-ms-hibernation", b"hibr\0\0"),
    ("private_key", "data", "application/x-openssh-key", b"openssh-key-v1\0\0\0\0\4"),
    ("pgp", "data", "application/x-gnupg-keybox", b"\0\0\0\x20\1\1\0\2KBXf\0\0\0\0"),
    ("pgp", "data", "application/pgp-signature", b"\x89\x02\x33\x04\0\1\x08\0\x1d"),
    ("pgp", "data", "application/pgp-keys", b"\x98\x33\x04\x60\1\2\3\x16"),
    ("berkeley_db", "data", "application/x-berkeley-db", b"\0" * 12 + b"\x61\x15\x06\0\x09\0"),
    ("gdbm", "data", "application/x-gdbm", b"\xce\x9a\x57\x13\0\x10"),
    ("lmdb", "data", "application/x-lmdb", b"\0" * 16 + b"\xde\xc0\xef\xbe\1\0\0\0"),
    ("cbor", "data", "application/cbor", b"\xd9\xd9\xf7\xa1aa\1"),
    ("vim_swap", "data", "application/x-vim-swap", b"b0VIM 8.2\0\0\0\0\x10"),
    ("terminfo", "data", "application/x-terminfo", b"\x1a\x01\x2a\0\x1d\0\x10\0\x69\1"),
    # Data.
    ("sqlite", "data", "application/vnd.sqlite3", b"SQLite format 3\0"),
    ("registry_hive", "data", "application/x-ms-registry", b"regf\0\0\0\0"),
    ("evtx", "data", "application/x-ms-evtx", b"ElfFile\0\0"),
    ("evt", "data", "application/x-ms-evt", b"\x30\0\0\0LfLe\1\0"),
    ("prefetch", "data", "application/x-ms-prefetch", b"\x1e\0\0\0SCCA"),
    ("minidump", "data", "application/x-dmp", b"MDMP\x93\xa7\0\0"),
    ("pcap", "data", "application/vnd.tcpdump.pcap", b"\xd4\xc3\xb2\xa1\2\0\4\0"),
    ("pcapng", "data", "application/x-pcapng", b"\x0a\x0d\x0d\x0a\x1c\0\0\0"),
    ("pdb", "data", "application/x-ms-pdb", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0"),
    ("ds_store", "data", "application/x-ds-store", b"\0\0\0\x01Bud1\0"),
    ("torrent", "data", "application/x-bittorrent", b"d8:announce3:udp4:infod6:lengthi1eee"),
    ("pickle", "data", "application/x-pickle", b"\x80\x04\x95\x0a\0\0\0"),
    ("keepass", "data", "application/x-keepass2", b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5\1"),
    # Keys and certificates.
    ("x509", "data", "application/pkix-cert", _der(b"\x30\x82\3\0\x30\x82\2\0\xa0\x03\x02\x01\x02")),
    ("pkcs7", "data", "application/pkcs7-mime", _der(b"\x30\x82\3\0", _PKCS7)),
    ("pkcs12", "data", "application/x-pkcs12", _der(b"\x30\x82\3\0\x02\x01\x03\x30\x82")),
    ("private_key", "data", "application/pkcs8", _der(b"\x30\x82\3\0\x02\x01\0\x30\x0d\x06")),
    ("pgp", "data", "application/pgp-keys", b"\x99\1\x0d\4\x5f\1\2\3\1\x08\0"),
    ("pgp", "data", "application/pgp-encrypted", b"\x85\1\x0c\3" + b"\7" * 8 + b"\1\x08\0"),
    ("pgp", "text", "application/pgp-keys", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
    ("pgp", "text", "application/pgp-encrypted", b"-----BEGIN PGP MESSAGE-----\n"),
    ("pem", "text", "application/x-pem-file", b"-----BEGIN CERTIFICATE-----\nMIIB\n"),
    ("ssh_key", "text", "application/x-ssh-private-key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    ("ssh_key", "text", "application/x-ssh-public-key", b"ssh-ed25519 AAAAC3NzaC1 a@b\n"),
    # Fonts, pictures, sound, films.
    ("pcf", "font", "application/x-font-pcf", b"\1fcp\x10\0\0\0"),
    ("qoi", "image", "image/qoi", b"qoif\0\0\1\0\0\0\1\0\3\0"),
    ("sun_raster", "image", "image/x-sun-raster", b"\x59\xa6\x6a\x95\0\0\0\x10"),
    ("sgi", "image", "image/x-sgi", b"\x01\xda\1\1\0\3\0\x10"),
    ("pcx", "image", "image/x-pcx", b"\x0a\5\1\x08" + b"\0" * 80),
    ("ilbm", "image", "image/x-ilbm", b"FORM\0\0\1\0ILBMBMHD"),
    ("fits", "image", "image/fits", b"SIMPLE  =" + b" " * 20 + b"T / x"),
    ("bpg", "image", "image/bpg", b"BPG\xfb\0"),
    ("jpegxr", "image", "image/jxr", b"II\xbc\1\x20\0\0\0"),
    ("wav", "audio", "audio/x-wav", b"RIFX\0\0\0\x10WAVEfmt "),
    ("8svx", "audio", "audio/x-8svx", b"FORM\0\0\1\x008SVXVHDR"),
    ("voc", "audio", "audio/x-voc", b"Creative Voice File\x1a\x1a\0\n\1"),
    ("xm", "audio", "audio/x-xm", b"Extended Module: " + b"x" * 20 + b"\x1a"),
    ("s3m", "audio", "audio/x-s3m", b"\0" * 44 + b"SCRM"),
    ("mod", "audio", "audio/x-mod", b"\0" * 1080 + b"M.K."),
    ("dsf", "audio", "audio/x-dsf", b"DSD \x1c\0\0\0\0"),
    ("ape", "audio", "audio/x-ape", b"MAC \x96\x0f"),
    ("mxf", "video", "application/mxf", b"\6\x0e\x2b\x34\2\5\1\1"),
    ("ivf", "video", "video/x-ivf", b"DKIF\0\0\x20\0"),
    ("y4m", "video", "video/x-yuv4mpeg", b"YUV4MPEG2 W1 H1\n"),
    ("ttf", "font", "font/ttf", b"\0\x01\0\0\0\x0c"),
    ("woff", "font", "font/woff", b"wOFF\0\1\0\0"),
    ("woff2", "font", "font/woff2", b"wOF2\0\1\0\0"),
    ("png", "image", "image/png", b"\x89PNG\r\n\x1a\n"),
    ("jpeg", "image", "image/jpeg", b"\xff\xd8\xff\xe0"),
    ("gif", "image", "image/gif", b"GIF89a"),
    ("webp", "image", "image/webp", b"RIFF\x10\0\0\0WEBPVP8 "),
    ("heif", "image", "image/heif", b"\0\0\0\x18ftypheic"),
    ("dicom", "image", "application/dicom", _at(128, b"DICM\2")),
    ("dwg", "image", "image/vnd.dwg", b"AC1032\0\0"),
    ("svg", "image", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("mp3", "audio", "audio/mpeg", b"ID3\x03\0\0"),
    ("wav", "audio", "audio/x-wav", b"RIFF\x10\0\0\0WAVEfmt "),
    ("flac", "audio", "audio/flac", b"fLaC\0\0\0\x22"),
    ("ogg", "audio", "application/ogg", b"OggS\0\2"),
    ("mp4", "video", "video/mp4", b"\0\0\0\x20ftypisom"),
    ("mkv", "video", "video/x-matroska", b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska"),
    ("avi", "video", "video/x-msvideo", b"RIFF\x10\0\0\0AVI LIST"),
    # Text.
    ("ics", "text", "text/calendar", b"BEGIN:VCALENDAR\nVERSION:2.0\n"),
    ("vcf", "text", "text/vcard", b"BEGIN:VCARD\nVERSION:3.0\n"),
    ("csv", "text", "text/csv", b"a;b;\n1;2;\n3;4;\n5;6;\n"),
    ("json", "text", "application/json", b'{"a": 1}'),
    ("reg", "script", "text/x-ms-regedit", b"Windows Registry Editor Version 5.00\r\n"),
    ("script", "script", "text/x-powershell", b"Invoke-WebRequest -Uri http://x -OutFile y"),
    ("script", "script", "application/x-ms-encoded-script", b"#@~^AAAA=="),
    ("text", "text", "text/plain", b"SELECT a FROM b;\nSELECT c FROM d;\nSELECT e FROM f;\nSELECT g FROM h;\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "super_type", "mime_type", "content"),
    KINDS,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(KINDS)],
)
def test_a_kind_has_its_name(
    kind: str, super_type: str, mime_type: str, content: bytes
):
    found = classify(content[:HEAD_BYTES], content[-TAIL_BYTES:], len(content))

    assert (found.type, found.super_type, found.mime_type) == (
        kind,
        super_type,
        mime_type,
    )


def test_no_label_of_magika_gives_a_worker_what_it_could_not_read():
    types = {name for name, _ in _TEXTS.values()} | {
        name for name, _, _ in _BINARIES.values()
    }
    read = {*get_analyzer("document").accepts, *get_analyzer("executable").accepts}

    assert types & read == set()
