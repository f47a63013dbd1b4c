"""Makes the golden numbers of record::statistics: what SciPy and statsmodels compute, for Rust tests to match.

usage: make_statistics_golden.py OUT_DIR SEED
needs: numpy, scipy, statsmodels
"""
import json, math, os, sys
import numpy as np
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(f"{out}/record", exist_ok=True)
rng = np.random.default_rng(seed)
SIZES = (2, 3, 5, 10, 30)
LEVELS = (0.5, 0.9, 0.95, 0.99, 1 - 0.05 / 12, 0.9999)

# Samples by name. Scores in per cent have two decimals, their differences are rounded again so that ties are ties.
samples = {}
for n in SIZES:
    noise = rng.standard_normal(n)
    samples[f"noise, n {n}"] = noise
    samples[f"negative, n {n}"] = noise - 5
    samples[f"far from zero, n {n}"] = 30 + noise / 10
    samples[f"near zero, n {n}"] = noise - noise.mean() + 1e-3 * rng.standard_normal()
    samples[f"tiny, n {n}"] = 1e-100 * (noise + 0.5)
    samples[f"huge, n {n}"] = 1e100 * (noise - 0.5)
    samples[f"scores, n {n}"] = np.round(91 + noise / 2, 2)
    samples[f"skewed, n {n}"] = np.exp(2 * noise)
for n in (5, 10, 13, 14, 30, 50, 51, 80):
    samples[f"no ties, n {n}"] = rng.permutation(np.arange(1.0, n + 1)) * rng.choice([-1, 1], n)
    samples[f"ties, n {n}"] = rng.integers(1, 2 + n // 2, n) * rng.choice([-1.0, 1.0, 1.0], n)
    samples[f"zeros, n {n}"] = np.append(0, rng.permutation(np.arange(1.0, n)) * rng.choice([-1, 1], n - 1))
    samples[f"zeros and ties, n {n}"] = np.append([0, 0, 1, 2], rng.integers(-2, 4, n - 4)).astype(float)
    samples[f"one side, n {n}"] = 1 + rng.random(n)
samples["noise, n 2000"] = np.round(rng.standard_normal(2000), 2)
samples["small effect, n 2000"] = np.round(rng.standard_normal(2000), 2) + 0.13


def one_sample(name, values):
    n, mean, error = len(values), np.mean(values), stats.sem(values)
    return dict(
        name=name,
        values=values.tolist(),
        mean=mean,
        deviation=np.std(values, ddof=1),
        intervals=[(level, *stats.t.interval(level, n - 1, mean, error)) for level in LEVELS],
        paired_t=stats.ttest_rel(values, np.zeros(n)).pvalue,
        wilcoxon=stats.wilcoxon(values).pvalue,
    )


def two_samples(name, a, b):
    found = stats.ttest_ind(a, b, equal_var=False)
    return dict(name=name, a=a.tolist(), b=b.tolist(), statistic=found.statistic, degrees=found.df, p=found.pvalue)


pairs = []
for n in SIZES:
    for m in SIZES:
        for shift, spread in ((0, 1), (3, 1), (0.5, 20), (-40, 0.01)):
            a, b = rng.standard_normal(n), shift + spread * rng.standard_normal(m)
            pairs.append(two_samples(f"n {n} and {m}, shift {shift}, spread {spread}", a, b))
    a, b = rng.standard_normal(n), rng.standard_normal(n)
    pairs.append(two_samples(f"tiny, n {n}", 1e-60 * a, 1e-60 * (b + 1)))
    pairs.append(two_samples(f"huge, n {n}", 1e60 * a, 1e60 * (b + 1)))
    pairs.append(two_samples(f"one does not vary, n {n}", a, np.full(n, 0.5)))

several = [[0.03], [0.04, 0.01], [0.01, 0.01, 0.01], [0.0, 1.0, 0.5, 0.02], [0.6, 0.7, 0.9]]
several += [(rng.random(m) ** power).tolist() for m in (3, 5, 12, 40) for power in (1, 4)]

# Sums of multiples of 1/64 are exact: SciPy finds which resamples equal the sample. Of each end what it is at 98 % and at
# 92 % with many resamples, and how it is distributed at 95 % with the default.
bootstraps = []
for n in SIZES:
    for kind, values in dict(normal=rng.standard_normal(n), skewed=np.exp(1.5 * rng.standard_normal(n)), scores=91 + rng.standard_normal(n)).items():
        values = np.round(64 * values) / 64
        values[0] += (values[0] == values[-1]) / 64
        run = lambda run, **settings: stats.bootstrap((values,), np.mean, rng=np.random.default_rng([seed, run]), **settings)
        wide = run(0, n_resamples=200_000, confidence_level=0.98)
        narrow = run(0, n_resamples=0, confidence_level=0.92, bootstrap_result=wide)
        ends = [
            dict(wide=wide, narrow=narrow, mean=ends.mean(), deviation=ends.std(ddof=1))
            for wide, narrow, ends in zip(wide.confidence_interval, narrow.confidence_interval, np.transpose([run(1 + i).confidence_interval for i in range(200)]))
        ]
        bootstraps.append(dict(name=f"{kind}, n {n}", values=values.tolist(), ends=ends))


def expected_best(scores, higher_is_better, k):
    """By the definition; Python's whole numbers do not overflow."""
    ordered, n = sorted(scores, reverse=not higher_is_better), len(scores)
    return math.fsum(value * (math.comb(i, k - 1) / math.comb(n, k)) for i, value in enumerate(ordered) if i >= k - 1)


searches = []
for n in (*SIZES, 1000):
    for higher_is_better in (True, False):
        scores = np.round(80 + 10 * rng.standard_normal(n), 2).tolist()
        trials = sorted({1, 2, 3, n // 2, n - 1, n} & set(range(1, n + 1)))
        expected = [(k, expected_best(scores, higher_is_better, k)) for k in trials]
        searches.append(dict(scores=scores, higher_is_better=higher_is_better, expected=expected))

areas = []
for n in SIZES:
    x, y = rng.permutation(n) + rng.random(n) / 2, rng.standard_normal(n)
    order = np.argsort(x)
    areas.append(dict(points=np.stack([x, y], 1).tolist(), area=integrate.trapezoid(y[order], x[order]) / np.ptp(x)))


def profiles(costs):
    """As in AlgoPerf's scoring/performance_profile.py, with the integral over log τ exact: ρ is constant between ratios."""
    with np.errstate(invalid="ignore"):
        ratios = costs / costs.min(0)
    rho = lambda tau: (ratios <= tau).mean(1)
    taus = np.unique(np.append(ratios[np.isfinite(ratios)], 1))
    bounds = np.append(np.minimum(taus, 4), 4)
    means = sum(rho(tau) * np.log(right / left) for tau, left, right in zip(taus, bounds, bounds[1:])) / np.log(4)
    shares = np.stack([rho(tau) for tau in taus], 1)
    return [dict(shares=list(zip(taus.tolist(), row.tolist())), mean=mean) for row, mean in zip(shares, means)]


comparisons = []
for methods, tasks in ((1, 1), (2, 3), (3, 8), (8, 4), (5, 40)):
    costs = np.round(np.exp(rng.standard_normal((methods, tasks))), 1) + 0.1
    costs[rng.random((methods, tasks)) < 0.2] = np.inf
    listed = [[None if math.isinf(cost) else cost for cost in row] for row in costs.tolist()]
    comparisons.append(dict(costs=listed, profiles=profiles(costs)))

golden = dict(
    one_sample=[one_sample(name, values) for name, values in samples.items()],
    two_samples=pairs,
    holm=[dict(p=p, adjusted=multipletests(p, method="holm")[1].tolist()) for p in several],
    bootstrap=bootstraps,
    expected_best=searches,
    area=areas,
    profile=comparisons,
)
# A case a line: readable, and small in a difference.
lines = lambda cases: ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
with open(f"{out}/record/statistics.json", "w") as file:
    file.write("{\n" + ",\n".join(f'"{kind}": [\n{lines(cases)}\n]' for kind, cases in golden.items()) + "\n}\n")
