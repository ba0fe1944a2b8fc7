# mypy: ignore-errors
# ruff: noqa: E402  # how many threads there may be is said before the libraries are imported
"""What a Python with numpy, pandas and matplotlib does before it forks: import them, and walk their usual roads once.

One thread: what starts threads of its own is told that there is one core, which is what a program has.
"""

import io
import os

SAID = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
os.environ.update(SAID)

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd


def rehearse():
    table = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, 1.5], "c": ["x", "y"], "d": pd.to_datetime(["2020-01-01", "2020-01-02"])}
    )
    table.groupby("c").a.sum()
    table.merge(table, on="a")
    str(table)
    table.describe()
    table.to_csv()
    pd.read_csv(io.StringIO("a,b\n1,2\n"))
    pd.Timestamp("2020-01-01", tz="Europe/Berlin")
    np.linalg.solve(np.eye(2), np.ones(2))
    np.random.default_rng(1).random(2)
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4], label="l")
    axes.set_title("t")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png")
    plt.close("all")


for _ in range(3):
    rehearse()
for name in SAID:
    del os.environ[name]

afresh = np.random.seed
