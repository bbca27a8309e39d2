//! Figures of the bare-metal-container paper that tests are checked against, and those that are not to
//! be used: they are printed wrong.

/// One row of its comparison with hyper-threads off: ten products of 12,800² matrices.
pub(crate) struct Row {
    pub(crate) machine: &'static str,
    /// Seconds on the default kernel, and on that without hyper-threads.
    pub(crate) seconds: [f64; 2],
    /// Joules of the same.
    pub(crate) joules: [f64; 2],
    pub(crate) boot_seconds: f64,
    pub(crate) boot_joules: f64,
    /// The break-even run lengths that follow, on the default kernel: in time and in energy.
    pub(crate) break_even: [f64; 2],
}

/// The rows of Table V. That of the i7 has the boot energy of [`REJECTED`]: what follows from it is
/// right as arithmetic, and wrong as a fact.
pub(crate) const HYPER_THREADS_OFF: [Row; 2] = [
    Row {
        machine: "i7",
        seconds: [961.4, 827.1],
        joules: [55_315.0, 45_364.0],
        boot_seconds: 35.4,
        boot_joules: 1_805.3,
        break_even: [253.0, 174.0],
    },
    Row {
        machine: "Xeon",
        seconds: [945.6, 698.9],
        joules: [211_908.0, 151_760.0],
        boot_seconds: 108.0,
        boot_joules: 11_258.0,
        break_even: [414.0, 177.0],
    },
];

/// The i7's boot as Tables VI and VII have it (31 to 34 s, 689 to 775 J), and the break-even in energy.
pub(crate) const I7_BOOT_ELSEWHERE: (f64, f64) = (706.6, 68.0);

/// Redis, 40 million requests, on the Core2Quad: seconds that the other kernel saves.
pub(crate) const REDIS_CORE2QUAD_SAVED: f64 = -27.3;

/// Rows that no test takes for true, each with the reason.
pub(crate) const REJECTED: [(&str, &str); 3] = [
    (
        "Table VI, power, Xeon: 1279.3 and 2216.0 J",
        "it repeats the Celeron's row digit for digit; a server draws several times as much",
    ),
    (
        "Table V, i7, energy of the boot: 1805.3 J in 35.4 s, or 51 W",
        "Tables III, VI and VII have 22 to 23 W for the boot of the same machine",
    ),
    ("Table IV, Celeron: 2.99 GFLOPS", "its 41,943 GFLOP in its 12,783.8 s are 3.28 GFLOPS"),
];

/// Rows of measured figures, by table, kind and machine.
pub(crate) const MEASURED: [(&str, [f64; 2]); 6] = [
    ("Table V, time, i7", HYPER_THREADS_OFF[0].seconds),
    ("Table V, time, Xeon", HYPER_THREADS_OFF[1].seconds),
    ("Table V, power, i7", HYPER_THREADS_OFF[0].joules),
    ("Table V, power, Xeon", HYPER_THREADS_OFF[1].joules),
    ("Table VI, power, Celeron", [1_279.3, 2_216.0]),
    ("Table VI, power, Xeon", [1_279.3, 2_216.0]),
];

/// Rows that have the figures of an earlier one: two machines never measure the same digits.
pub(crate) fn repeated(rows: &[(&'static str, [f64; 2])]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (index, (name, row)) in rows.iter().enumerate() {
        if rows.iter().take(index).any(|(_, earlier)| earlier == row) {
            found.push(*name);
        }
    }
    found
}
