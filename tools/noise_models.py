"""Compares models of a table's noise: how often tables of equal methods have a false difference, and how wide intervals are.

usage: noise_models.py [TABLES]
needs: numpy, scipy

The last is statistics::Noise, which `cargo test -p statistics --test verdicts` simulates by itself.
"""
import sys
import numpy as np
from functools import lru_cache
from scipy import optimize, special, stats

TABLES = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
GRID = np.concatenate([np.arange(1, 12, 0.5), np.arange(12, 40, 2), [50, 80, 120, 1e3]])
rng = np.random.default_rng(0)


def within(t, m, df):
    """Probability that no statistic of `m` comparisons with one row exceeds t (Dunnett 1955)."""
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    u, share = np.polynomial.legendre.leggauss(60)
    s = np.sqrt(stats.chi2.ppf((u + 1) / 2, df) / df)
    reach = np.sqrt(2) * t * s[:, None]
    inside = special.ndtr(reach - z) - special.ndtr(-reach - z)
    return (share[:, None] / 2 * weight / np.sqrt(2 * np.pi) * inside**m).sum()


@lru_cache(None)
def table(m):
    return np.array([optimize.brentq(lambda t: within(t, m, df) - 0.95, 0.5, 200) for df in GRID])


def critical(m, df):
    return np.interp(1 / np.clip(df, 1, 1000), 1 / GRID[::-1], table(m)[::-1])


def paired(y):
    """Paired t tests; with Holm, the first of which is Bonferroni's."""
    _, k, n = y.shape
    d = y[:, 1:] - y[:, :1]
    return np.sqrt(d.var(2, ddof=1) / n) * stats.t.isf(0.025 / (k - 1), n - 1)


def residuals(y):
    r = y - y.mean(2, keepdims=True) - y.mean(1, keepdims=True) + y.mean((1, 2), keepdims=True)
    return r, (r**2).sum((1, 2)) / ((y.shape[1] - 1) * (y.shape[2] - 1))


def pooled(y):
    """Rows + seeds with one variance, Dunnett."""
    _, k, n = y.shape
    half = np.sqrt(2 * residuals(y)[1] / n) * critical(k - 1, (k - 1) * (n - 1.0))
    return np.repeat(half[:, None], k - 1, 1)


def empirical_bayes(y):
    """Variances of paired differences, moderated as in limma (Smyth 2004), Dunnett."""
    _, k, n = y.shape
    s2, d = (y[:, 1:] - y[:, :1]).var(2, ddof=1), n - 1.0
    e = np.log(s2) - special.digamma(d / 2) + np.log(d / 2)
    excess = e.var(1, ddof=1) - special.polygamma(1, d / 2) if k > 2 else np.zeros(len(y))
    half_d0 = 0.5 + 1 / np.where(excess > 0, excess, 1)
    for _ in range(30):
        trigamma = special.polygamma(1, half_d0)
        half_d0 += trigamma * (1 - trigamma / np.where(excess > 0, excess, 1)) / special.polygamma(2, half_d0)
    known = np.exp(e.mean(1) + special.digamma(half_d0) - np.log(half_d0))
    prior = np.where(excess > 0, known, s2.mean(1))[:, None]
    d0 = np.where(excess > 0, 2 * half_d0, 1e9)[:, None]
    return np.sqrt((d0 * prior + d * s2) / (d0 + d) / n) * critical(k - 1, np.minimum(d0 + d, (k - 1) * d))


def fixed_weight(y, prior=2.0):
    """Rows + seeds, the variance of each row drawn toward that of all, Satterthwaite, Dunnett."""
    tables, k, n = y.shape
    r, all_rows = residuals(y)
    if k == 2:
        return pooled(y)
    w = prior / (prior + n - 1)
    own = np.maximum(((r**2).sum(2) / (n - 1) - all_rows[:, None] / k) / (1 - 2 / k), 0)
    variance = w * all_rows[:, None] + (1 - w) * own
    center = np.eye(k) - 1 / k
    df = np.empty((tables, k - 1))
    for row in range(1, k):
        pick = np.diag([float(i in (0, row)) for i in range(k)])
        form = (1 - w) * (center @ pick @ center - 2 / k * center / (k - 1)) / (1 - 2 / k) + w * 2 * center / (k - 1)
        scaled = form * variance[:, None, :]
        df[:, row - 1] = (n - 1) * np.trace(scaled, axis1=1, axis2=2) ** 2 / np.einsum("tij,tji->t", scaled, scaled)
    error = np.sqrt((variance[:, 1:] + variance[:, :1]) / n)
    return error * critical(k - 1, np.clip(df, 1, (k - 1) * (n - 1)))


SPREADS = dict(
    equal=lambda k: np.ones((TABLES, k)),
    unequal=lambda k: np.exp(0.4 * rng.standard_normal((TABLES, k))),
    noisy_reference=lambda k: np.where(np.arange(k) == 0, 3.0, 1.0) * np.ones((TABLES, 1)),
)
MODELS = [paired, pooled, empirical_bayes, fixed_weight]
errors, widths = {}, {}
for k in (3, 5, 9):
    for n in (3, 5, 10):
        for shared in (0, 1):
            for spread, of in SPREADS.items():
                y = of(k)[:, :, None] * rng.standard_normal((TABLES, k, n)) + shared * rng.standard_normal((TABLES, 1, n))
                difference = np.abs(y[:, 1:].mean(2) - y[:, :1].mean(2))
                for model in MODELS:
                    half = model(y)
                    errors.setdefault((model.__name__, spread), {})[k, n, shared] = 100 * (difference > half).any(1).mean()
                    if spread == "equal" and k == 5:
                        widths[model.__name__, n] = np.median(half)
for model in MODELS:
    name = model.__name__
    ranges = [f"{min(of.values()):.1f}–{max(of.values()):.1f}" for spread in SPREADS for of in [errors[name, spread]]]
    print(f"| {name} | {' | '.join(ranges)} | {' / '.join(f'{widths[name, n]:.1f}' for n in (3, 5, 10))} |")
for (name, spread), of in errors.items():
    if name == "fixed_weight" and spread == "noisy_reference":
        print({key: round(value, 1) for key, value in of.items()})
