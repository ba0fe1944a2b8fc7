import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

days = pd.date_range("2024-01-01", periods=366)
rain = pd.Series(np.random.default_rng(2024).gamma(0.4, 6, len(days)), index=days, name="rain in mm")
months = rain.resample("MS").agg(["sum", "max"]).round(1)
months.index = months.index.strftime("%B")
print(months.head(4))

figure = io.BytesIO()
months["sum"].plot.bar()
plt.savefig(figure, format="png")
print("and a figure of", len(figure.getvalue()) // 1024, "KB")
