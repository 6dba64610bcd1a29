"""
Formats that a few bytes at a fixed place tell: images, sound, archives, disks, data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.classify.ends import Ends
from orchestrator.classify.kinds import kind
from orchestrator.classify.texts import decoded
from orchestrator.contracts.assignment import Classification

#: (offset, magic, type, super type, MIME type); the first that fits wins. What could
#: begin a text has more of its header here, or stands among the patterns below.
_MAGICS: tuple[tuple[int, bytes, str, str, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "png", "image", "image/png"),
    (0, b"\xff\xd8\xff", "jpeg", "image", "image/jpeg"),
    (0, b"GIF87a", "gif", "image", "image/gif"),
    (0, b"GIF89a", "gif", "image", "image/gif"),
    (0, b"II*\0", "tiff", "image", "image/tiff"),
    (0, b"MM\0*", "tiff", "image", "image/tiff"),
    (0, b"II+\0", "tiff", "image", "image/tiff"),
    (0, b"MM\0+", "tiff", "image", "image/tiff"),
    (0, b"8BPS\0", "psd", "image", "image/vnd.adobe.photoshop"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000", "image", "image/jp2"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000", "image", "image/x-jp2-codestream"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "jxl", "image", "image/jxl"),
    (0, b"\xff\x0a", "jxl", "image", "image/jxl"),
    (0, b"\xd7\xcd\xc6\x9a", "wmf", "image", "image/wmf"),
    (0, b"\x01\0\x09\0\0\x03", "wmf", "image", "image/wmf"),
    (40, b" EMF", "emf", "image", "image/emf"),
    (0, b"icns\0", "icns", "image", "image/x-icns"),
    (0, b"gimp xcf ", "xcf", "image", "image/x-xcf"),
    (0, b"DDS \x7c\0\0\0", "dds", "image", "image/vnd-ms.dds"),
    (0, b"\x76\x2f\x31\x01", "exr", "image", "image/x-exr"),
    (0, b"AT&TFORM", "djvu", "document", "image/vnd.djvu"),
    (0, b"ID3\x02", "mp3", "audio", "audio/mpeg"),
    (0, b"ID3\x03", "mp3", "audio", "audio/mpeg"),
    (0, b"ID3\x04", "mp3", "audio", "audio/mpeg"),
    (0, b"fLaC\0", "flac", "audio", "audio/flac"),
    (28, b"\x01vorbis", "ogg", "audio", "audio/ogg"),
    (28, b"OpusHead", "ogg", "audio", "audio/ogg"),
    (28, b"\x80theora", "ogg", "video", "video/ogg"),
    (0, b"OggS\0", "ogg", "audio", "application/ogg"),
    (0, b"MThd\0\0\0\x06", "midi", "audio", "audio/midi"),
    (0, b".snd\0", "au", "audio", "audio/basic"),
    (0, b"caff\0\x01\0", "caf", "audio", "audio/x-caf"),
    (0, b".RMF\0\0\0", "realmedia", "video", "application/vnd.rn-realmedia"),
    (0, b"#!AMR", "amr", "audio", "audio/amr"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "video", "video/x-ms-asf"),
    (0, b"FLV\x01", "flv", "video", "video/x-flv"),
    (0, b"\0\0\x01\xba", "mpeg", "video", "video/mpeg"),
    (0, b"\0\0\x01\xb3", "mpeg", "video", "video/mpeg"),
    (0, b"\0\x01\0\0\0", "ttf", "font", "font/ttf"),
    (0, b"true\0", "ttf", "font", "font/ttf"),
    (0, b"OTTO\0", "otf", "font", "font/otf"),
    (0, b"ttcf\0", "ttc", "font", "font/collection"),
    (0, b"wOFF", "woff", "font", "font/woff"),
    (0, b"wOF2", "woff2", "font", "font/woff2"),
    (0, b"\x1f\x8b\x08", "gzip", "archive", "application/gzip"),
    (0, b"\xfd7zXZ\x00", "xz", "archive", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "archive", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "rar", "archive", "application/vnd.rar"),
    (0, b"RE~^", "rar", "archive", "application/vnd.rar"),
    (0, b"MSCF\0\0\0\0", "cab", "archive", "application/vnd.ms-cab-compressed"),
    (0, b"ISc(", "installshield_cab", "archive", "application/x-installshield-cab"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "archive", "application/zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4", "archive", "application/x-lz4"),
    (0, b"LZIP\x01", "lzip", "archive", "application/x-lzip"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop", "archive", "application/x-lzop"),
    (7, b"**ACE**", "ace", "archive", "application/x-ace-compressed"),
    (0, b"ZOO 2.", "zoo", "archive", "application/x-zoo"),
    (0, b"StuffIt (c)1997", "stuffit", "archive", "application/x-stuffit"),
    (0, b"xar!\0", "xar", "archive", "application/x-xar"),
    (0, b"!<arch>\ndebian-binary", "deb", "archive", "application/vnd.debian.binary-package"),
    (0, b"!<arch>\n", "ar", "archive", "application/x-archive"),
    (0, b"\xed\xab\xee\xdb", "rpm", "archive", "application/x-rpm"),
    (0, b"JM\x01\0PK", "jmod", "archive", "application/x-java-jmod"),
    (0, b"Cr24\x03\0\0\0", "crx", "archive", "application/x-chrome-extension"),
    (0, b"MSWIM\0\0\0", "wim", "archive", "application/x-ms-wim"),
    (257, b"ustar", "tar", "archive", "application/x-tar"),
    (0, b"sqsh\0", "squashfs", "archive", "application/vnd.squashfs"),
    (0, b"SZDD\x88\xf0'3", "szdd", "archive", "application/x-ms-compress"),
    (0, b"KWAJ\x88\xf0'\xd1", "kwaj", "archive", "application/x-ms-compress"),
    (0, b"LUKS\xba\xbe", "luks", "archive", "application/x-luks-volume"),
    (0, b"EVF\x09\r\n\xff\0", "ewf", "archive", "application/x-ewf-disk"),
    (0, b"ANDROID!", "android_boot", "archive", "application/x-android-boot-image"),
    (0, b"ANDROID BACKUP\n", "android_backup", "archive", "application/x-android-backup"),
    (0, b"hsqs", "squashfs", "archive", "application/vnd.squashfs"),
    (32769, b"CD001", "iso", "archive", "application/x-iso9660-image"),
    (32769, b"BEA01", "udf", "archive", "application/x-udf-image"),
    (0, b"vhdxfile", "vhdx", "archive", "application/x-vhdx-disk"),
    (0, b"conectix", "vhd", "archive", "application/x-vhd-disk"),
    (0, b"KDMV\x01\0\0\0", "vmdk", "archive", "application/x-vmdk-disk"),
    (0, b"COWD\x01\0\0\0", "vmdk", "archive", "application/x-vmdk-disk"),
    (0, b"QFI\xfb", "qcow2", "archive", "application/x-qemu-disk"),
    (64, b"\x7f\x10\xda\xbe", "vdi", "archive", "application/x-virtualbox-vdi"),
    (3, b"NTFS    ", "ntfs", "archive", "application/x-ntfs-image"),
    (3, b"EXFAT   ", "fat", "archive", "application/x-fat-image"),
    (54, b"FAT1", "fat", "archive", "application/x-fat-image"),
    (82, b"FAT32", "fat", "archive", "application/x-fat-image"),
    (0, b"L\0\0\0\x01\x14\x02\0", "lnk", "document", "application/x-ms-shortcut"),
    (0, b"ITSF\x03\0\0\0", "chm", "document", "application/vnd.ms-htmlhelp"),
    (0, b"\x3f\x5f\x03\0", "hlp", "document", "application/winhlp"),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "onenote", "document", "application/onenote"),
    (0, b"\xa1\x2f\xff\x43\xd9\xef\x76\x4c", "onenote", "document", "application/onenote"),
    (0, b"\x78\x9f\x3e\x22", "tnef", "document", "application/vnd.ms-tnef"),
    (0, b"!BDN", "pst", "document", "application/vnd.ms-outlook-pst"),
    (0, b"\xcf\xad\x12\xfe", "dbx", "document", "application/x-outlook-dbx"),
    (0, b"\x31\xbe\0\0", "wri", "document", "application/x-mswrite"),
    (0, b"\xf7\x02\x01\x83\x92\xc0\x1c\x3b", "dvi", "document", "application/x-dvi"),
    (0, b"\xffWPC", "wordperfect", "document", "application/vnd.wordperfect"),
    (0, b"HWP Document File", "hwp3", "document", "application/x-hwp"),
    (0, b"\xc5\xd0\xd3\xc6", "eps", "document", "image/x-eps"),
    (60, b"BOOKMOBI", "mobi", "document", "application/x-mobipocket-ebook"),
    (0, b"SQLite format 3\0", "sqlite", "data", "application/vnd.sqlite3"),
    (4, b"Standard Jet DB\0", "mdb", "data", "application/x-msaccess"),
    (4, b"Standard ACE DB\0", "accdb", "data", "application/x-msaccess"),
    (0, b"regf", "registry_hive", "data", "application/x-ms-registry"),
    (0, b"Microsoft C/C++ MSF 7.00\r\n\x1aDS", "pdb", "data", "application/x-ms-pdb"),
    (0, b"\x30\0\0\0LfLe", "evt", "data", "application/x-ms-evt"),
    (0, b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5", "keepass", "data", "application/x-keepass2"),
    (0, b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5", "keepass", "data", "application/x-keepass"),
    (0, b"\xfe\xed\xfe\xed\0\0\0", "jks", "data", "application/x-java-keystore"),
    (0, b"\0\0\0\x01Bud1", "ds_store", "data", "application/x-ds-store"),
    (0, b"EMiL\x01\0\0\0", "memory_dump", "data", "application/x-lime-dump"),
    (0, b"snoop\0\0\0", "snoop", "data", "application/x-snoop"),
    (0, b"Obj\x01", "avro", "data", "application/avro"),
    (0, b"ARROW1\0\0", "arrow", "data", "application/vnd.apache.arrow.file"),
    (0, b"glTF\x02\0\0\0", "gltf", "data", "model/gltf-binary"),
    (0, b"Kaydara FBX Binary  \0", "fbx", "data", "application/x-fbx"),
    (0, b"\x27\x05\x19\x56", "uimage", "data", "application/x-uboot-image"),
    (0, b"\xd0\x0d\xfe\xed\0", "dtb", "data", "application/x-devicetree"),
    (128, b"DICM", "dicom", "image", "application/dicom"),
    (0, b"ElfFile\0", "evtx", "data", "application/x-ms-evtx"),
    (4, b"SCCA", "prefetch", "data", "application/x-ms-prefetch"),
    (0, b"MAM\x04", "prefetch", "data", "application/x-ms-prefetch"),
    (0, b"MDMP\x93\xa7", "minidump", "data", "application/x-dmp"),
    (0, b"PAGEDU", "memory_dump", "data", "application/x-dmp"),
    (0, b"\xd4\xc3\xb2\xa1", "pcap", "data", "application/vnd.tcpdump.pcap"),
    (0, b"\xa1\xb2\xc3\xd4", "pcap", "data", "application/vnd.tcpdump.pcap"),
    (0, b"\x4d\x3c\xb2\xa1", "pcap", "data", "application/vnd.tcpdump.pcap"),
    (0, b"\xa1\xb2\x3c\x4d", "pcap", "data", "application/vnd.tcpdump.pcap"),
    (0, b"\x0a\x0d\x0d\x0a", "pcapng", "data", "application/x-pcapng"),
    (0, b"bplist0", "plist", "data", "application/x-bplist"),
    (0, b"PAR1\x15", "parquet", "data", "application/vnd.apache.parquet"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5", "data", "application/x-hdf5"),
    (0, b"MATLAB 5.0 MAT-file", "mat", "data", "application/x-matlab-data"),
    (0, b"\xde\x12\x04\x95", "mo", "data", "application/x-gettext-translation"),
    (0, b"\x95\x04\x12\xde", "mo", "data", "application/x-gettext-translation"),
    (0, b"\x93NUMPY", "npy", "data", "application/x-npy"),
    (0, b"\xac\xed\0\x05", "java_object", "data", "application/x-java-serialized-object"),
    (0, b"FasdUAS", "applescript", "script", "application/x-applescript"),
    (0, b"#@~^", "script", "script", "application/x-ms-encoded-script"),
    (0, b"qoif\0", "qoi", "image", "image/qoi"),
    (0, b"\x59\xa6\x6a\x95", "sun_raster", "image", "image/x-sun-raster"),
    (0, b"II\xbc\x01", "jpegxr", "image", "image/jxr"),
    (0, b"BPG\xfb", "bpg", "image", "image/bpg"),
    (0, b"Creative Voice File\x1a", "voc", "audio", "audio/x-voc"),
    (44, b"SCRM", "s3m", "audio", "audio/x-s3m"),
    (0, b"DSD \x1c\0\0\0", "dsf", "audio", "audio/x-dsf"),
    (0, b"MAC \x96\x0f", "ape", "audio", "audio/x-ape"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf", "video", "application/mxf"),
    (0, b"DKIF\0\0\x20\0", "ivf", "video", "video/x-ivf"),
    (0, b"\x01fcp", "pcf", "font", "application/x-font-pcf"),
    (0, b"ALZ\x01", "alz", "archive", "application/x-alz"),
    (0, b"EGGA\0\x01", "egg", "archive", "application/x-egg"),
    (0, b"LRZI\0", "lrzip", "archive", "application/x-lrzip"),
    (0, b"\xff\x06\0\0sNaPpY", "snappy", "archive", "application/x-snappy-framed"),
    (0, b"zPQ\x01", "zpaq", "archive", "application/x-zpaq"),
    (0, b"PACK\0\0\0\x02", "git_pack", "archive", "application/x-git-pack"),
    (0, b"\xfftOc\0\0\0\x02", "git_index", "data", "application/x-git-pack-index"),
    (0, b"DIRC\0\0\0", "git_index", "data", "application/x-git-index"),
    (0, b"CDF\x01\0", "netcdf", "data", "application/x-netcdf"),
    (0, b"CDF\x02\0", "netcdf", "data", "application/x-netcdf"),
    (0, b"CDF\x05\0", "netcdf", "data", "application/x-netcdf"),
    (0, b"PGDMP\x01", "pgdump", "data", "application/x-pgdump"),
    (0, b"LPKSHHRH", "journal", "data", "application/x-systemd-journal"),
    (4, b"\xef\xcd\xab\x89", "esedb", "data", "application/x-ms-ese"),
    (0, b"CMMM\x20\0\0\0", "thumbcache", "data", "application/x-ms-thumbcache"),
    (0, b"hibr\0\0", "memory_dump", "data", "application/x-ms-hibernation"),
    (0, b"HIBR\0\0", "memory_dump", "data", "application/x-ms-hibernation"),
    (0, b"openssh-key-v1\0", "private_key", "data", "application/x-openssh-key"),
    (8, b"KBXf\0\0", "pgp", "data", "application/x-gnupg-keybox"),
    (12, b"\x61\x15\x06\0", "berkeley_db", "data", "application/x-berkeley-db"),
    (12, b"\x62\x31\x05\0", "berkeley_db", "data", "application/x-berkeley-db"),
    (0, b"\xce\x9a\x57\x13", "gdbm", "data", "application/x-gdbm"),
    (16, b"\xde\xc0\xef\xbe", "lmdb", "data", "application/x-lmdb"),
    (0, b"\xd9\xd9\xf7", "cbor", "data", "application/cbor"),
    (0, b"\x1bLJ\x02", "lua_bytecode", "executable", "application/x-lua-bytecode"),
    (0, b"dey\n036\0", "odex", "executable", "application/x-android-odex"),
    (0, b"oat\n", "oat", "executable", "application/x-android-oat"),
    (0, b"vdex0", "vdex", "executable", "application/x-android-vdex"),
)  # fmt: skip

#: As above, for what needs more than one run of bytes.
_PATTERNS: tuple[tuple[re.Pattern[bytes], str, str, str], ...] = tuple(
    (re.compile(rb"(?s)" + pattern), name, super_type, mime)
    for pattern, name, super_type, mime in (
        (rb"RIFF.{4}WEBP", "webp", "image", "image/webp"),
        (rb"RIFF.{4}WAVE", "wav", "audio", "audio/x-wav"),
        (rb"RIFX.{4}WAVE", "wav", "audio", "audio/x-wav"),
        (rb"FORM.{4}8SVX", "8svx", "audio", "audio/x-8svx"),
        (rb"FORM.{4}ILBM", "ilbm", "image", "image/x-ilbm"),
        (rb"FOR[1X].{4}BEAM", "beam", "executable", "application/x-erlang-beam"),
        (rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]", "sgi", "image", "image/x-sgi"),
        (rb"\x0a[\0\x02-\x05][\0\x01][\x01\x02\x04\x08].{60}\0", "pcx", "image", "image/x-pcx"),
        (rb".{1080}(?:M\.K\.|M!K!|FLT[48]|[468]CHN)", "mod", "audio", "audio/x-mod"),
        (rb"SIMPLE  = {20}T[ /]", "fits", "image", "image/fits"),
        (rb"Extended Module: .{20}\x1a", "xm", "audio", "audio/x-xm"),
        (rb"b0VIM \d[\d.]{0,8}\0", "vim_swap", "data", "application/x-vim-swap"),
        (rb"YUV4MPEG2 W\d", "y4m", "video", "video/x-yuv4mpeg"),
        (rb"(?:\x1a\x01|\x1e\x02).\0.[\0\x01].[\0\x01].[\0-\x02]", "terminfo", "data", "application/x-terminfo"),
        (rb"\x01\xdf\0[\x01-\x20].{14}[\0-\x7f].", "xcoff", "executable", "application/x-xcoff"),
        (rb"\x01\xf7\0[\x01-\x20].{14}[\0-\x7f].", "xcoff", "executable", "application/x-xcoff"),
        (rb"RIFF.{4}AVI ", "avi", "video", "video/x-msvideo"),
        (rb"RIFF.{4}ACON", "ani", "image", "application/x-navi-animation"),
        (rb"FORM.{4}AIF[FC]", "aiff", "audio", "audio/x-aiff"),
        (rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "heif", "image", "image/heif"),
        (rb".{4}ftypavi[fs]", "avif", "image", "image/avif"),
        (rb".{4}ftypqt  ", "mov", "video", "video/quicktime"),
        (rb".{4}ftypM4[AB]", "m4a", "audio", "audio/mp4"),
        (rb".{4}ftyp3g", "3gp", "video", "video/3gpp"),
        (rb"\0.{3}ftyp", "mp4", "video", "video/mp4"),
        (rb"\0.{3}(?:moov|mdat|wide)", "mov", "video", "video/quicktime"),
        (rb"\x1a\x45\xdf\xa3.{0,60}webm", "webm", "video", "video/webm"),
        (rb"\x1a\x45\xdf\xa3", "mkv", "video", "video/x-matroska"),
        (rb"\x47.{187}\x47.{187}\x47", "mpeg_ts", "video", "video/mp2t"),
        (
            rb"BM.{4}\0\0\0\0.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
            "bmp",
            "image",
            "image/bmp",
        ),
        (
            rb"\0\0\x01\0[^\0]\0.{3}\0[\0\x01]\0",
            "ico",
            "image",
            "image/vnd.microsoft.icon",
        ),
        (rb"\0\0\x02\0[^\0]\0.{16}", "cur", "image", "image/x-win-bitmap"),
        (
            rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90|.{0,5}\Z)",
            "bzip2",
            "archive",
            "application/x-bzip2",
        ),
        (
            rb"\x5d\0\0.[\0-\x08](?:\xff{8}|.{5}\0{3})",
            "lzma",
            "archive",
            "application/x-lzma",
        ),
        (rb".{2}-l(?:h.|z[s45])-", "lha", "archive", "application/x-lzh-compressed"),
        (rb"\x1f\x9d[\x89-\x90]", "compress", "archive", "application/x-compress"),
        (rb"\x60\xea.[\0-\x0a]", "arj", "archive", "application/x-arj"),
        (rb"\xc7\x71.{5}[\x41\x81]", "cpio", "archive", "application/x-cpio"),
        (rb"\x71\xc7.{4}[\x41\x81]", "cpio", "archive", "application/x-cpio"),
        # Of a stream without a name two bytes divide by 31; the third begins a block.
        (rb"\x78[\x01\x9c\xda][^\x06\x07\x0e\x0f]", "zlib", "archive", "application/zlib"),
        (rb"0707(?:07|01|02)[0-9A-Fa-f]{34}", "cpio", "archive", "application/x-cpio"),
        (rb"\0{8}.{1072}\x53\xef", "ext", "archive", "application/x-ext-image"),
        (
            rb"\x80[\x02-\x05](?:\x95|[cC}\](K\x8c])",
            "pickle",
            "data",
            "application/x-pickle",
        ),
        (rb"d\d{1,2}:(?:announce|info|created by)", "torrent", "data", "application/x-bittorrent"),
        (
            rb"[\xeb\xe9\x33\xfa].{509}\x55\xaa",
            "disk_image",
            "archive",
            "application/x-raw-disk-image",
        ),
        # Keys and certificates in DER: what the first of their nested parts hold.
        (
            rb"\x30\x82..\x30\x82..\xa0\x03\x02\x01[\0-\x02]",
            "x509",
            "data",
            "application/pkix-cert",
        ),
        (
            rb"\x30(?:\x80|\x82..|\x83.{3})\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
            "pkcs7",
            "data",
            "application/pkcs7-mime",
        ),
        (
            rb"\x30\x82..\x30(?:\x81.|\x82..)\x02\x01\x01\x30[\x0a\x0d]\x06",
            "crl",
            "data",
            "application/pkix-crl",
        ),
        (
            # Year, month and day of the last change; lengths of head and row.
            (
                rb"[\x03\x30\x31\x83\x8b\xf5].[\x01-\x0c][\x01-\x1f].{3}\0"
                rb"[\x01\x08\x21\x28\x41\x48\x61\x68\x81\x88\xa1\xa8\xc1\xc8\xe1\xe8].{3}\0\0"
            ),
            "dbf",
            "data",
            "application/x-dbf",
        ),
        (rb"\x30\x82..\x02\x01\x03\x30", "pkcs12", "data", "application/x-pkcs12"),
        (
            rb"\x30\x82..\x02\x01\0(?:\x30[\x0d\x10\x13]\x06|\x02\x82)",
            "private_key",
            "data",
            "application/pkcs8",
        ),
        # OpenPGP: keys of version 4, and what is encrypted to one or with a password.
        (rb"[\x95\x99].{2}\x04.{4}[\x01-\x16]", "pgp", "data", "application/pgp-keys"),
        (rb"[\x94\x98].\x04.{4}[\x12\x13\x16]", "pgp", "data", "application/pgp-keys"),
        (rb"\x89.{2}\x04[\0-\x1f\x40\x50][\x01-\x16][\x01-\x0b]\0", "pgp", "data", "application/pgp-signature"),
        (rb"\x88.\x04[\0-\x1f\x40\x50][\x01-\x16][\x01-\x0b]\0", "pgp", "data", "application/pgp-signature"),
        (
            rb"(?:[\x84\x85].{1,2}\x03.{8}[\x01-\x16]|\x8c[\x0d\x2e]\x04[\x01-\x0d][\0\x01\x03])",
            "pgp",
            "data",
            "application/pgp-encrypted",
        ),
        (
            rb"(?:\x4c\x01|\x64\x86|\x64\xaa)[\x01-\xff]\0.{12}\0\0[\0-\x07]\0\.(?:text|drectve|data|debug|bss|rdata)",
            "coff",
            "executable",
            "application/x-coff",
        ),
        (rb"AC10[0-3]\d\0", "dwg", "image", "image/vnd.dwg"),
        (rb"GGUF[\x01-\x08]\0\0\0", "gguf", "data", "application/x-gguf"),
        (rb"BLENDER[-_][vV]\d{3}", "blend", "data", "application/x-blender"),
        (rb"wvpk.{4}[\x02-\x10]\x04", "wavpack", "audio", "audio/x-wavpack"),
        (rb"\x80\x01.{4}%!", "type1", "font", "application/x-font-type1"),
        # The letters of these are words of an older page; sound is not without zeros.
        (
            rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb].(?=.{0,4096}\0)",
            "mp3",
            "audio",
            "audio/mpeg",
        ),
        (rb"\xff[\xf1\xf9][\x40-\x7f].(?=.{0,4096}\0)", "aac", "audio", "audio/aac"),
        (
            rb"[FCZ]WS[\x01-\x3f].{3}\0",
            "swf",
            "document",
            "application/vnd.adobe.flash.movie",
        ),
        (
            rb".{8}[\0-\x02]\0[\x01\x02]\0.{22}LP",
            "eot",
            "font",
            "application/vnd.ms-fontobject",
        ),
        (rb"P[1-6]\s(?:#[^\n]{0,200}\n)?\d{1,5}\s\d", "pnm", "image", "image/x-portable-anymap"),
        (rb"%!PS", "postscript", "document", "application/postscript"),
        (rb"\x04%!PS", "postscript", "document", "application/postscript"),
        (rb"%FDF-\d", "fdf", "document", "application/vnd.fdf"),
    )
)  # fmt: skip

#: Trailers that disk images end with, 512 bytes long.
_TRAILERS: Mapping[bytes, tuple[str, str, str]] = {
    b"conectix": ("vhd", "archive", "application/x-vhd-disk"),
    b"koly\0\0\0\x04": ("dmg", "archive", "application/x-apple-diskimage"),
}
_TRAILER_BYTES = 512
_TAR_BLOCK_BYTES = 512
_BEGINNING_BYTES = 512


def find_by_magic(ends: Ends) -> Classification | None:
    """Return the kind that a few bytes at their place tell."""
    head = ends.head
    # A text that has such bytes further on is read as what it is.
    is_text = decoded(head[:_BEGINNING_BYTES]) is not None
    trailer = ends.tail[-_TRAILER_BYTES:][:8]
    if trailer in _TRAILERS and not is_text:
        return kind(*_TRAILERS[trailer])
    for offset, magic, name, super_type, mime in _MAGICS:
        if head.startswith(magic, offset) and not (offset and is_text):
            return kind(name, super_type, mime)
    for pattern, name, super_type, mime in _PATTERNS:
        if pattern.match(head):
            return kind(name, super_type, mime)
    if _is_old_tar(head[:_TAR_BLOCK_BYTES]):
        return kind("tar", "archive", "application/x-tar")
    return None


def _is_old_tar(block: bytes) -> bool:
    """Say whether the checksum fits: before ``ustar`` nothing else told a tar."""
    if len(block) < _TAR_BLOCK_BYTES or not block[0]:
        return False
    field = block[148:156].strip(b"\0 ")
    if not field.isdigit() or b"8" in field or b"9" in field:
        return False
    return int(field, 8) == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
