"""Makes the golden numbers of statistics: what SciPy computes, and formulas written out, for Rust tests to match.

usage: make_statistics_golden.py OUT_DIR SEED
needs: numpy, scipy
"""
import json, os, sys
import numpy as np
from scipy import integrate, stats

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(f"{out}/statistics", exist_ok=True)
rng = np.random.default_rng(seed)
SIZES = (2, 3, 5, 10, 30)

samples = {}
for n in SIZES:
    noise = rng.standard_normal(n)
    samples[f"noise, n {n}"] = noise
    samples[f"far from zero, n {n}"] = 30 + noise / 10
    samples[f"tiny, n {n}"] = 1e-100 * (noise + 0.5)
    samples[f"huge, n {n}"] = 1e100 * (noise - 0.5)
    samples[f"scores, n {n}"] = np.round(91 + noise / 2, 2)


def one_sample(name, values):
    mean, error = np.mean(values), stats.sem(values)
    interval = stats.t.interval(0.95, len(values) - 1, mean, error)
    return dict(name=name, values=values.tolist(), mean=mean, deviation=np.std(values, ddof=1), interval=interval)


def within(t, m, df):
    """Probability that no statistic of `m` comparisons with one row exceeds t: the double integral of Dunnett 1955."""
    def given(s):
        inside = lambda z: (stats.norm.cdf(np.sqrt(2) * t * s - z) - stats.norm.cdf(-np.sqrt(2) * t * s - z)) ** m
        return integrate.quad(lambda z: stats.norm.pdf(z) * inside(z), -9, 9, epsabs=1e-12, epsrel=1e-11)[0]
    if np.isinf(df):
        return given(1.0)
    chi = stats.chi(df, scale=1 / np.sqrt(df))
    low, high = chi.ppf(1e-14), chi.isf(1e-14)
    middle = chi.median()
    parts = [integrate.quad(lambda s: chi.pdf(s) * given(s), *ends, epsabs=1e-11, epsrel=1e-10, limit=200)[0] for ends in ((low, middle), (middle, high))]
    return sum(parts)


dunnett = []
for m, df, t in ((1, 2, 4.3), (2, 3, 1.0), (3, 2, 6.0), (3, 8, 2.9), (5, 4.5, 0.5), (8, 16, 2.8), (11, 40, 3.0), (4, np.inf, 2.4)):
    dunnett.append(dict(comparisons=m, degrees=None if np.isinf(df) else df, t=t, within=within(t, m, df)))


def contrasts(rows, prior=2.0):
    """Rows and seeds, a variance for each row drawn toward that of all, degrees after Satterthwaite; with matrices."""
    k, n = rows.shape
    center = np.eye(k) - 1 / k
    residuals = center @ rows @ (np.eye(n) - 1 / n)
    free, weight = n - 1, prior / (prior + n - 1)
    pooled = (residuals**2).sum() / ((k - 1) * free)
    # rᵀAr over the seeds, divided by n − 1, estimates the variance of row i.
    forms = []
    for i in range(k):
        pick = np.zeros((k, k))
        pick[i, i] = 1
        own = (center @ pick @ center - center / (k * (k - 1))) / (1 - 2 / k) if k > 2 else center / (k - 1)
        forms.append((own, center / (k - 1)))
    estimate = lambda form: np.trace(form @ residuals @ residuals.T) / free
    variances = np.array([weight * pooled + (1 - weight) * max(estimate(own), 0) if k > 2 else pooled for own, _ in forms])
    found = []
    for one, other in ((0, 1), (k - 1, 0)):
        form = sum((1 - weight) * forms[i][0] + weight * forms[i][1] for i in (one, other))
        scaled = form @ np.diag(variances)
        degrees = free * np.trace(scaled) ** 2 / np.trace(scaled @ scaled) if k > 2 else free
        degrees = min(max(degrees, 1), (k - 1) * free)
        error = np.sqrt((variances[one] + variances[other]) / n)
        found.append(dict(rows=[one, other], difference=rows[one].mean() - rows[other].mean(), error=error, degrees=degrees))
    return found


tables = []
for k, n in ((2, 3), (3, 3), (4, 5), (9, 3), (11, 5), (5, 10)):
    for spread in (0, 1):
        rows = 80 + rng.standard_normal(n) + np.exp(spread * rng.standard_normal((k, 1))) * rng.standard_normal((k, n))
        tables.append(dict(rows=rows.tolist(), contrasts=contrasts(rows)))

areas = []
for n in SIZES:
    x, y = rng.permutation(n) + rng.random(n) / 2, rng.standard_normal(n)
    order = np.argsort(x)
    areas.append(dict(points=np.stack([x, y], 1).tolist(), area=integrate.trapezoid(y[order], x[order]) / np.ptp(x)))

correlations = []
for n in SIZES[1:]:
    pairs = rng.standard_normal((n, 2)) + rng.standard_normal((n, 1))
    correlations.append(dict(pairs=pairs.tolist(), correlation=np.corrcoef(pairs.T)[0, 1]))

golden = dict(
    one_sample=[one_sample(name, values) for name, values in samples.items()],
    dunnett=dunnett,
    noise=tables,
    area=areas,
    correlation=correlations,
)
# A case a line: readable, and small in a difference.
lines = lambda cases: ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
with open(f"{out}/statistics/statistics.json", "w") as file:
    file.write("{\n" + ",\n".join(f'"{kind}": [\n{lines(cases)}\n]' for kind, cases in golden.items()) + "\n}\n")
