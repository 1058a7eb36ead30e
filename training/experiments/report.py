"""Tables and a figure from the CSV files of ``run.py``.

    python training/experiments/report.py results.csv... --output FOLDER

Writes ``tables.md``: for every set each method's mean over the seeds with a 95 %
interval (Student's t) at iterations 0, 1, ..., and what SAM-SP adds to others on the
same images with the same seed; and ``iterations.png``, the first as curves. These are
of the number of training images that most methods were run with. Of methods that were
run with others too, a table and ``images.png`` tell what more images bring.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy import stats

COLUMNS = 2
SPREAD = 0.4
"""Of the curves' points, beside each other."""
ITERATES = 2
"""A method with fewer iterations is a line, not a curve."""
COMPARISONS = {
    "iteration 1 above iteration 0": (("sam-sp", 1), ("sam-sp", 0)),
    "self-prompting: above LoRA without it": (("sam-sp", 1), ("lora", 0)),
    "training on its prompts: above iteration 1 of that LoRA": (
        ("sam-sp", 1),
        ("lora", 1),
    ),
    "the newest epoch: above the luckiest": (
        ("sam-sp", 1),
        ("sam-sp, luckiest epoch", 1),
    ),
    "self-distillation: above the same without it": (("sam-sp", 1), ("lora+sp", 1)),
    "above the U-Net on the same ImageNet trunk": (
        ("sam-sp", 1),
        ("unet, ImageNet", 0),
    ),
    "above no training": (("sam-sp", 1), ("untrained", 1)),
    "above the random forest": (("sam-sp", 1), ("forest", 0)),
}
"""Method and iteration that is judged, and those that it is compared with."""
JUDGED = 1
"""The iteration by which numbers of images are compared; of others than ours the only
one."""


def half_width(values: pd.Series) -> float:
    """Half of the 95 % interval of a mean; NaN for one value."""
    return float(stats.t.ppf(0.975, len(values) - 1) * values.sem())


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, interval and number of seeds of each method's iterations."""
    keys = ["data", "objects", "images", "method", "iteration"]
    return (
        rows.groupby(keys, sort=False)["figure"]
        .agg(mean="mean", interval=half_width, seeds="size")
        .reset_index()
    )


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table."""
    rows = [f"| {' | '.join(line)} |" for line in (head, *lines)]
    return "\n".join([rows[0], f"|{'---|' * len(head)}", *rows[1:]])


def cell(mean: float, interval: float) -> str:
    """A mean, and its interval where there is one."""
    return f"{mean:.3f}" + ("" if math.isnan(interval) else f" ± {interval:.3f}")


def table(part: pd.DataFrame) -> str:
    """One set and number of images: a method a line, an iteration a column."""
    last = int(part["iteration"].max())
    head = ["method", *(f"iteration {t}" for t in range(last + 1)), "seeds"]
    lines = []
    for method, figures in part.groupby("method", sort=False):
        cells = {
            int(row.iteration): cell(row.mean, row.interval)
            for row in figures.itertuples(index=False)
        }
        shown = (cells.get(t, "") for t in range(last + 1))
        lines.append([str(method), *shown, str(figures["seeds"].max())])
    return markdown(head, lines)


def usual_images(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of the number of images that most methods of a set learnt from."""
    methods = rows.groupby(["data", "images"])["method"].nunique()
    usual = methods.groupby("data").idxmax().map(lambda key: key[1])
    return rows["images"] == rows["data"].map(usual)


def by_images(summary: pd.DataFrame) -> pd.DataFrame:
    """A line a set and method, a column a number of images: mean and interval."""
    last = summary.groupby(["data", "images", "method"])["iteration"].transform("max")
    judged = summary[summary["iteration"] == last.clip(upper=JUDGED)]
    pairs = judged.assign(
        pair=list(zip(judged["mean"], judged["interval"], strict=True))
    )
    lines = pairs.pivot(index=["data", "method"], columns="images", values="pair")
    lines = lines[lines.notna().sum(axis=1) > 1]
    return lines[sorted(lines.columns, key=_number)]


def _number(images: str) -> tuple[float, str]:
    """Sorts "5", "5 chosen", "10" and "all"."""
    return math.inf if images == "all" else int(images.split()[0]), images


def images_table(lines: pd.DataFrame) -> str:
    """`by_images` as a Markdown table; empty if there is but one number."""
    if lines.empty:
        return ""
    counts = (f"{n} image{'s' * (n != '1')}" for n in lines.columns)
    head = ["set", "method", *counts]
    text = [
        [data, method, *(cell(*p) if isinstance(p, tuple) else "" for p in pairs)]
        for (data, method), pairs in lines.iterrows()
    ]
    return markdown(head, text) + "\n"


def differences(rows: pd.DataFrame) -> str:
    """`COMPARISONS`, a set a column, and over all sets; empty if nothing compares."""
    keys = ["method", "iteration", "data", "images", "seed"]
    runs = rows.set_index(keys)["figure"].sort_index()
    known = set(runs.index.droplevel([2, 3, 4]))
    sets = list(rows["data"].unique())
    lines = []
    for claim, (ours, other) in COMPARISONS.items():
        if not {ours, other} <= known:
            continue
        gain = (runs.loc[ours] - runs.loc[other]).dropna()
        parts = [gain[gain.index.get_level_values("data") == name] for name in sets]
        lines.append([claim, *(_signed(part) for part in [*parts, gain])])
    if not lines:
        return ""
    return markdown(["SAM-SP at iteration 1", *sets, "all runs"], lines) + "\n"


def _signed(values: pd.Series) -> str:
    if values.empty:
        return ""
    interval = f" ± {half_width(values):.3f}" if len(values) > 1 else ""
    return f"{values.mean():+.3f}{interval}"


def draw(summary: pd.DataFrame, path: Path) -> None:
    """Curves over the iterations, a panel a set and number of images."""
    parts = list(summary.groupby(["data", "images"], sort=False))
    palette = [*mpl.color_sequences["tab10"], "black", *mpl.color_sequences["Set2"]]
    colours = dict(zip(summary["method"].unique(), palette, strict=False))
    rows, columns = -(-len(parts) // COLUMNS), min(len(parts), COLUMNS)
    fig, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False
    )
    handles = {}
    for axis, ((data, images), part) in zip(axes.flat, parts, strict=False):
        curves = list(part.groupby("method", sort=False))
        for n, (method, figures) in enumerate(curves):
            style = {"color": colours[method]}
            if len(figures) < ITERATES:
                mean = figures["mean"].iloc[0]
                handles[method] = axis.axhline(mean, linestyle=":", **style)
            else:
                aside = SPREAD * (n / len(curves) - 0.5)  # or intervals hide others
                handles[method] = axis.errorbar(
                    figures["iteration"] + aside, figures["mean"], figures["interval"],
                    marker="o", markersize=3, capsize=2, **style,
                )  # fmt: skip
        axis.set_title(f"{data}, {images} images")
        axis.set_xlabel("iteration")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel("AP at 0.5" if part["objects"].any() else "Dice")
    for axis in axes.flat[len(parts) :]:
        axis.set_visible(False)
    fig.tight_layout()
    fig.legend(
        handles.values(), handles, fontsize="small", loc="center left",
        bbox_to_anchor=(1, 0.5),
    )  # fmt: skip
    fig.savefig(path, dpi=100, bbox_inches="tight")


def draw_images(lines: pd.DataFrame, path: Path) -> None:
    """`by_images` as curves, a panel a set."""
    sets = lines.index.get_level_values("data").unique()
    fig, axes = plt.subplots(1, len(sets), figsize=(5 * len(sets), 3.2), squeeze=False)
    for axis, data in zip(axes.flat, sets, strict=True):
        for method, pairs in lines.loc[data].iterrows():
            known = pairs.dropna()
            mean, interval = zip(*known, strict=True)
            axis.errorbar(
                known.index, mean, interval,
                marker="o", markersize=3, capsize=2, label=method,
            )  # fmt: skip
        axis.set_title(data)
        axis.set_xlabel("corrected images")
        axis.set_ylabel("Dice, or AP at 0.5")
        axis.legend(fontsize="small")
    fig.tight_layout()
    fig.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    args = parser.parse_args()
    rows = pd.concat(
        [pd.read_csv(path, dtype={"images": str}) for path in args.results]
    )
    rows["figure"] = rows["ap50"].where(rows["objects"], rows["dice"])
    more = by_images(summarise(rows))
    rows = rows[usual_images(rows)]
    summary = summarise(rows)
    args.output.mkdir(parents=True, exist_ok=True)
    sections = [
        f"**{data}**, {images} training images, "
        f"{'AP at 0.5' if part['objects'].any() else 'Dice'} "
        f"(mean over the seeds, 95 % interval)\n\n{table(part)}\n"
        for (data, images), part in summary.groupby(["data", "images"], sort=False)
    ]
    sections += [differences(rows), images_table(more)]
    (args.output / "tables.md").write_text("\n".join(sections), encoding="utf-8")
    draw(summary, args.output / "iterations.png")
    if not more.empty:
        draw_images(more, args.output / "images.png")


if __name__ == "__main__":
    main()
