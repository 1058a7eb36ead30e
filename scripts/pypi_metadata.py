"""What the packages tell of themselves: a README that reads well on PyPI, and links.

hatchling runs this when it builds. Where the project lives is told by the workflow
that releases it or by the clone; a package that is built elsewhere names no place, and
its README has the links' words without the links.
"""

from __future__ import annotations

import os
import re
import subprocess
from email import message_from_bytes
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_PICTURE = re.compile(r"<picture>.*?</picture>\n*", re.DOTALL)
_SOURCE = re.compile(r'(?P<name>src|srcset)="(?P<target>[^"]+)"')
_GITHUB = re.compile(r"github\.com[:/](?P<name>[^/\s]+/[^/\s]+?)(\.git)?/?$")


class Metadata(MetadataHookInterface):
    """The README and the links, for this place."""

    def update(self, metadata: dict) -> None:
        """Fill in what `pyproject.toml` calls dynamic."""
        root = Path(self.root)
        told = root / "PKG-INFO"
        if told.is_file():  # an sdist, which knows where it came from
            found = message_from_bytes(told.read_bytes())
            text = found.get_payload(decode=True).decode()
            urls = dict(one.split(", ", 1) for one in found.get_all("Project-URL", []))
        else:
            text = (root / "README.md").read_text("utf-8")
            name = os.environ.get("GITHUB_REPOSITORY") or _origin(root)
            ref = "HEAD"
            if os.environ.get("GITHUB_REF_TYPE") == "tag":
                ref = os.environ["GITHUB_REF_NAME"]
            text = with_whole_links(text, name, ref)
            urls = urls_of(name, ref) if name else {}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        if urls:
            metadata["urls"] = urls


def with_whole_links(text: str, name: str, ref: str) -> str:
    """Make relative links whole, or words where it is not known what they lead to.

    Parameters
    ----------
    text : str
        Markdown.
    name : str
        Of the repository on GitHub, such as ``owner/name``; empty if it is not known.
    ref : str
        The tag or branch whose files are meant.
    """
    raw = f"https://raw.githubusercontent.com/{name}/{ref}"

    def whole(link: re.Match) -> str:
        image, words, target = link["image"], link["text"], link["target"]
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        if not name:
            return "" if image else words
        if image:
            return f"![{words}]({raw}/{target})"
        return f"[{words}](https://github.com/{name}/blob/{ref}/{target})"

    # A picture for light and dark pages can be written as HTML alone.
    if name:
        text = _SOURCE.sub(rf'\g<name>="{raw}/\g<target>"', text)
    else:
        text = _PICTURE.sub("", text)
    return _LINK.sub(whole, text)


def urls_of(name: str, ref: str) -> dict[str, str]:
    """The links of a project on GitHub, whose documentation is on its pages."""
    owner, _, project = name.partition("/")
    home = f"https://github.com/{name}"
    return {
        "Documentation": f"https://{owner.lower()}.github.io/{project}/",
        "Source": home,
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/{ref}/CHANGELOG.md",
    }


def _origin(root: Path) -> str:
    """The repository that a clone came from, if it is one on GitHub."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = _GITHUB.search(done.stdout.strip())
    return found["name"] if found else ""
