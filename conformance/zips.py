"""Zip files of every kind, as people and attackers make them."""

import io
import stat
import zipfile


def file(name, text, mode=0o755):
    """One entry with Unix permissions, the way `zip` on Linux writes it."""
    info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, text


def link(name, target):
    info, _ = file(name, target)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def pack(*entries):
    """The bytes of a zip; an entry is what `file` or `link` gives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, text in entries:
            archive.writestr(info, text)
    return buffer.getvalue()


def of_files(**texts):
    """`of_files(bootstrap="…")`: executables at the top, a dot in a name written as `__`."""
    return pack(*(file(name.replace("__", "."), text) for name, text in texts.items()))


def zeros(name, size):
    """A small zip that unpacks to `size` bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info, _ = file(name, "")
        with archive.open(info, "w", force_zip64=False) as entry:
            block = bytes(1 << 20)
            for start in range(0, size, len(block)):
                entry.write(block[: size - start])
    return buffer.getvalue()


def understated(archive, size, claim):
    """The same zip, claiming in both of its headers to unpack to `claim` bytes."""
    return archive.replace(size.to_bytes(4, "little"), claim.to_bytes(4, "little"))


def stored(name, content):
    """A zip that is a little larger than what it holds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def of_folder(folder):
    """All files below a folder, with the modes that they have."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return pack(*(file(name, path.read_bytes(), path.stat().st_mode & 0o777) for name, path in zip(names, paths)))
