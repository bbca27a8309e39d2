//! What a few runs say of a kernel: mean, scatter, and 95 % intervals.
//!
//! Floating point is good enough here: nothing is added up from these figures.

use std::f64::consts::FRAC_PI_2;

/// The probability that an interval holds the true value.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// Steps of the numerical integral, an even number: enough for 2,000 degrees of freedom, or 1,000 runs of
/// each kernel.
const STEPS: u32 = 1_000;

/// Most steps towards a quantile. Ten are usual.
const APPROACHES_MAX: u32 = 100;

/// The two-sided 95 % quantile of the normal distribution, cut: below every one of Student's.
const BELOW_ALL: f64 = 1.959;

/// A value with the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Some runs of one kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many.
    pub count: u32,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; `None`: one run does not tell.
    pub deviation: Option<f64>,
}

impl Summary {
    /// Mean and deviation of these values; `None`: there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
        let mean = values.iter().sum::<f64>() / f64::from(count);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / f64::from(count - 1)).sqrt());
        Some(Self { count, mean, deviation })
    }

    /// Variance of the mean, and its degrees of freedom.
    fn scatter(&self) -> Option<(f64, f64)> {
        let freedom = f64::from(self.count.checked_sub(1)?);
        Some((self.deviation?.powi(2) / f64::from(self.count), freedom))
    }

    /// The mean's interval by Student's t; `None`: there are fewer than two runs.
    pub(crate) fn interval(&self) -> Option<Interval> {
        let (variance, freedom) = self.scatter()?;
        let half = student(freedom) * variance.sqrt();
        Some(Interval { value: self.mean, low: self.mean - half, high: self.mean + half })
    }
}

/// By which part of `a` the mean of `b` is smaller: 1 − b/a, above zero where b is better.
///
/// The interval is Fieller's for the ratio of two independent means: E. C. Fieller, Some problems in
/// interval estimation, J. R. Stat. Soc. B 16 (1954) 175–185; in the notation of V. H. Franz, Ratios: a
/// short guide to confidence limits and proper use, arXiv 0710.2024. Its quantile has the degrees of
/// freedom of the difference of two means (B. L. Welch, The generalization of 'Student's' problem when
/// several different population variances are involved, Biometrika 34 (1947) 28–35). So it has zero
/// inside exactly if Welch's interval of a − b has.
///
/// `None`: there are fewer than two runs of either, or they scatter so much that `a` may be zero.
pub(crate) fn gain(a: &Summary, b: &Summary) -> Option<Interval> {
    let ((of_a, freedom_a), (of_b, freedom_b)) = (a.scatter()?, b.scatter()?);
    let spread = of_a.powi(2) / freedom_a + of_b.powi(2) / freedom_b;
    let freedom = if spread > 0.0 { (of_a + of_b).powi(2) / spread } else { freedom_a + freedom_b };
    fieller(a.mean, of_a, b.mean, of_b, student(freedom))
}

/// As [`gain`], with the variances of the means and a quantile.
pub(crate) fn fieller(a: f64, of_a: f64, b: f64, of_b: f64, quantile: f64) -> Option<Interval> {
    let ratio = b / a;
    let g = quantile.powi(2) * of_a / a.powi(2);
    if !(ratio.is_finite() && g < 1.0 && a > 0.0) {
        return None;
    }
    let half = quantile / a * (of_b * (1.0 - g) + ratio.powi(2) * of_a).sqrt();
    let end = |half: f64| 1.0 - (ratio + half) / (1.0 - g);
    Some(Interval { value: 1.0 - ratio, low: end(half), high: end(-half) })
}

/// The quotient of two independent figures above zero, by the method of variance estimates recovery
/// (R. G. Newcombe, MOVER-R confidence intervals for ratios and products of two independently estimated
/// quantities, Stat. Methods Med. Res. 25 (2016) 1774–1778). With an exact dividend it is the dividend by
/// each end of the divisor. A lower end below zero is zero.
///
/// `None`: the divisor may be zero.
pub(crate) fn quotient(dividend: Interval, divisor: Interval) -> Option<Interval> {
    let (p, q) = (dividend, divisor);
    if q.low <= 0.0 || 2.0 * q.value <= q.high {
        return None;
    }
    let product = p.value * q.value;
    let end = |p_end: f64, q_end: f64, sign: f64| {
        let (p_other, q_other) = (2.0 * p.value - p_end, 2.0 * q.value - q_end);
        let under = product.powi(2) - p_end * p_other * q_end * q_other;
        // Rounding may leave less than nothing where both are exact.
        (product + sign * under.max(0.0).sqrt()) / (q_end * q_other)
    };
    Some(Interval {
        value: p.value / q.value,
        low: end(p.low, q.high, -1.0).max(0.0),
        high: end(p.high, q.low, 1.0),
    })
}

/// The two-sided 95 % quantile of Student's t distribution; of one degree of freedom at least.
///
/// With t = √ν·tan θ the density is proportional to cos^(ν−1) θ, so that neither its constant nor a
/// table is needed: only which part of the integral up to π/2 lies below θ.
pub(crate) fn student(freedom: f64) -> f64 {
    // With θ = (1 − v³)·π/2 it has no edge at π/2, however small the exponent is.
    let angle = |v: f64| (1.0 - v.powi(3)) * FRAC_PI_2;
    let density = |angle: f64| angle.cos().max(0.0).powf(freedom - 1.0);
    let up_to = |end: f64| {
        let from = (1.0 - end / FRAC_PI_2).cbrt();
        FRAC_PI_2 * simpson(|v| density(angle(v)) * 3.0 * v * v, from)
    };
    let wanted = CONFIDENCE * up_to(FRAC_PI_2);
    // The integral bends downwards: from the left, Newton's steps come closer and never pass.
    let mut found = (BELOW_ALL / freedom.sqrt()).atan();
    for _ in 0..APPROACHES_MAX {
        let step = (wanted - up_to(found)) / density(found);
        found += step;
        if step <= f64::EPSILON * found {
            break;
        }
    }
    freedom.sqrt() * found.tan()
}

/// The integral from there to 1 by Simpson's rule.
fn simpson(function: impl Fn(f64) -> f64, from: f64) -> f64 {
    let step = (1.0 - from) / f64::from(STEPS);
    let weight = |index: u32| match index {
        0 | STEPS => 1.0,
        odd if odd % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let values = (0..=STEPS).map(|index| weight(index) * function(from + f64::from(index) * step));
    values.sum::<f64>() * step / 3.0
}
