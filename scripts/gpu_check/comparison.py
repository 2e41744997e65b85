"""How our times compare with PyTorch's."""


def compared(rows):
    """Returns rows with the ratio of our time to PyTorch's, for all rows that have the same "compare"."""
    theirs = {}
    for row in rows:
        if row.get("by") == "PyTorch":
            theirs.setdefault(row["compare"], []).append(row["ms"])
    ratios = []
    for row in rows:
        if row.get("by") == "ours" and row["compare"] in theirs:
            times = theirs[row["compare"]]
            figures = {
                "ratio_to_eager": round(row["ms"] / times[0], 3),
                "ratio_to_best": round(row["ms"] / min(times), 3),
            }
            ratios.append({"name": f"{row['name']} / PyTorch", "ok": None, **figures})
    return ratios
