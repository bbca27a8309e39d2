//! Values as text for a terminal: tables, lists of fields, and the spelling of numbers.
//!
//! Pure: everything here goes from a value to a text. It knows neither the verbs nor the server.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// What stands where nothing was measured.
pub(crate) const UNKNOWN: &str = "unknown";

/// Which side of its column a text stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: a head, then rows. Columns are two spaces apart.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows yet. A title that starts with `>` heads a column of numbers.
    pub(crate) fn new<'a>(titles: impl IntoIterator<Item = &'a str>) -> Self {
        let column = |title: &str| match title.strip_prefix('>') {
            Some(title) => (printable(title), Align::Right),
            None => (printable(title), Align::Left),
        };
        Self { columns: titles.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; a missing cell is empty, a surplus one is not shown.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(|cell| printable(cell.as_ref())).collect());
    }

    /// The table as text, each line with its end, no spaces at the end of a line.
    pub(crate) fn text(&self) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (title, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                cells.chain([title]).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let mut text = String::new();
        for row in [&titles].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (index, ((_, align), width)) in self.columns.iter().zip(&widths).enumerate() {
                let cell = row.get(index).map_or("", String::as_str);
                let space = " ".repeat(width.saturating_sub(cell.chars().count()));
                let gap = if index == 0 { "" } else { "  " };
                line += &match align {
                    Align::Left => format!("{gap}{cell}{space}"),
                    Align::Right => format!("{gap}{space}{cell}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Names and values of one thing, a line each, the values below each other.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().fold(String::new(), |mut text, (name, value)| {
        let value = if value.is_empty() { "-" } else { value };
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{name:width$}  {}", printable(value));
        text
    })
}

/// A text from elsewhere without characters that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Words in one cell.
pub(crate) fn words<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

/// Bytes with a binary unit, e.g. `61.3 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let count = u128::from(count);
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => {
            let tenths = (count * 10 + size / 2) / size;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// Nanoseconds as seconds, rounded to hundredths.
pub(crate) fn seconds(nanoseconds: i64) -> String {
    decimal(nanoseconds.into(), 1_000_000_000, 2)
}

/// A time in that time zone, e.g. `2026-11-21 19:08:22`; one that no calendar has is `unknown`.
pub(crate) fn time(unix_ns: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_nanosecond(unix_ns.into()).map(|time| time.to_zoned(zone.clone()));
    time.map_or_else(|_| UNKNOWN.to_owned(), |time| time.strftime("%F %T").to_string())
}

/// A span of time in its largest unit, not rounded, e.g. `3 h`; what is in the future is `0 s`.
pub(crate) fn span(nanoseconds: i64) -> String {
    let seconds = nanoseconds.max(0) / 1_000_000_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(size, _)| seconds >= *size);
    let (size, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / size)
}

/// Millijoules as joules, rounded to tenths; what was not measured is `unknown`.
pub(crate) fn joules(millijoules: Option<i64>) -> String {
    millijoules.map_or_else(|| UNKNOWN.to_owned(), |energy| decimal(energy.into(), 1_000, 1))
}

/// Millijoules as watt-hours, rounded to thousandths.
pub(crate) fn watt_hours(millijoules: i64) -> String {
    decimal(millijoules.into(), 3_600_000, 3)
}

/// Mean power in watts, rounded to tenths; of no time at all it is not known.
pub(crate) fn mean_watts(millijoules: Option<i64>, duration_ns: i64) -> String {
    match millijoules {
        // mJ / ns are megawatts.
        Some(energy) if duration_ns > 0 => {
            decimal(i128::from(energy) * 1_000_000, duration_ns.into(), 1)
        }
        Some(_) | None => UNKNOWN.to_owned(),
    }
}

/// `value / unit` in decimal digits, rounded half away from zero; `unit` is above zero.
fn decimal(value: i128, unit: i128, digits: u32) -> String {
    let scale = 10_i128.pow(digits);
    let rounded = (value.abs() * scale + unit / 2) / unit;
    let sign = if value < 0 && rounded > 0 { "-" } else { "" };
    let width = usize::try_from(digits).unwrap_or(0);
    format!("{sign}{}.{:0width$}", rounded / scale, rounded % scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let mut table = Table::new(["NAME", ">SIZE", "NOTE"]);
        table.row(["a", "1.0 MiB", ""]);
        table.row(["größer", "12 B", "x\u{1b}[2Jy"]);
        table.row(["short"]);
        let expected = "\
NAME       SIZE  NOTE
a       1.0 MiB
größer     12 B  x?[2Jy
short
";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn fields_stand_below_each_other_and_an_empty_one_shows() {
        let text = fields(&[("name", "n1".into()), ("last failure", String::new())]);
        assert_eq!(text, "name          n1\nlast failure  -\n");
    }

    #[test]
    fn sizes_choose_their_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (64_250_000, "61.3 MiB"),
            (5_368_709_120, "5.0 GiB"),
            (u64::MAX, "17179869184.0 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn numbers_are_rounded_not_cut() {
        assert_eq!(seconds(1_995_000_000), "2.00");
        assert_eq!(seconds(-1_500_000_000), "-1.50");
        assert_eq!(seconds(-1_000), "0.00");
        assert_eq!(joules(Some(1_250)), "1.3");
        assert_eq!(joules(Some(0)), "0.0");
        assert_eq!(joules(None), "unknown");
        assert_eq!(watt_hours(3_600_000), "1.000");
        assert_eq!(joules(Some(i64::MAX)), "9223372036854775.8");
    }

    #[test]
    fn times_are_of_the_zone_and_spans_have_one_unit() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(time(1_795_288_102_900_000_000, &TimeZone::UTC), "2026-11-21 19:08:22");
        assert_eq!(time(1_795_288_102_900_000_000, &berlin), "2026-11-21 20:08:22");
        for (seconds, text) in
            [(-5, "0 s"), (59, "59 s"), (119, "1 min"), (7_200, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(span(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn mean_power_needs_energy_and_time() {
        assert_eq!(mean_watts(Some(107_300), 1_000_000_000), "107.3");
        assert_eq!(mean_watts(Some(i64::MAX), i64::MAX), "1000000.0");
        assert_eq!(mean_watts(Some(5), 0), "unknown");
        assert_eq!(mean_watts(None, 5), "unknown");
    }
}
