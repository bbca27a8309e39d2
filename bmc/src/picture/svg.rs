//! SVG elements as text. The only place that writes markup, so that all words are escaped here.

/// A picture that grows.
#[derive(Debug, Default)]
pub(super) struct Svg {
    text: String,
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// Markup of our own, as it is, on a line of its own.
    pub(super) fn raw(&mut self, markup: &str) {
        self.text += markup;
        self.text.push('\n');
    }

    /// An element with nothing but words in it.
    pub(super) fn words(&mut self, element: &str, attributes: &str, words: &str) {
        let space = if attributes.is_empty() { "" } else { " " };
        self.raw(&format!("<{element}{space}{attributes}>{}</{element}>", escape(words)));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let at = format!("x=\"{}\" y=\"{}\"{anchor}{class}", number(x), number(y));
        self.words("text", &at, words);
    }

    /// A text that runs upwards, its middle at that point.
    pub(super) fn upwards(&mut self, x: f64, y: f64, class: &str, words: &str) {
        let (x, y) = (number(x), number(y));
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let turn = format!("transform=\"rotate(-90 {x} {y})\"");
        let at = format!("x=\"{x}\" y=\"{y}\" text-anchor=\"middle\"{class} {turn}");
        self.words("text", &at, words);
    }

    /// A rectangle, with words that show when it is pointed at.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), size: (f64, f64), fill: &str, tip: &str) {
        let place = format!("x=\"{}\" y=\"{}\"", number(x), number(y));
        let size = format!("width=\"{}\" height=\"{}\"", number(size.0), number(size.1));
        let tip = if tip.is_empty() {
            "/>".to_owned()
        } else {
            format!("><title>{}</title></rect>", escape(tip))
        };
        self.raw(&format!("<rect {place} {size} fill=\"{fill}\"{tip}"));
    }

    pub(super) fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            self.raw(&format!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &polyline([from, to]));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Straight lines through these points; through a single one a dot.
pub(super) fn polyline(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    let mut count = 0_usize;
    for (x, y) in points {
        d.push(if count == 0 { 'M' } else { 'L' });
        d += &format!("{} {}", number(x), number(y));
        count += 1;
    }
    // Round ends make a dot of it.
    d + if count == 1 { "h.1" } else { "" }
}

/// Tenths of a pixel are finer than any screen.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Words from anywhere as text or as an attribute's value. What XML forbids, and what turns the direction
/// of the text around it, becomes a question mark.
pub(super) fn escape(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => text += "&amp;",
            '<' => text += "&lt;",
            '>' => text += "&gt;",
            '"' => text += "&quot;",
            '\'' => text += "&#39;",
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                text.push('?');
            }
            c if c.is_control() => text.push('?'),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_become_markup() {
        let expected = "&lt;script a=&quot;&#39;&amp;amp;&quot;&gt;??? ö 日";
        assert_eq!(escape("<script a=\"'&amp;\">\0\u{1b}\u{202e} ö 日"), expected);
        let mut svg = Svg::default();
        svg.text(1.0, 2.25, Anchor::End, "small", "</text><script/>");
        let expected = "<text x=\"1\" y=\"2.2\" text-anchor=\"end\" class=\"small\">\
                        &lt;/text&gt;&lt;script/&gt;</text>\n";
        assert_eq!(svg.finish(), expected);
    }

    #[test]
    fn numbers_have_a_tenth_at_most_and_never_a_minus_zero() {
        let texts = [0.0, -0.01, 1.0, 1.04, 1.06, -2.5, 100.0].map(number);
        assert_eq!(texts, ["0", "0", "1", "1", "1.1", "-2.5", "100"]);
    }

    #[test]
    fn a_line_through_one_point_is_a_dot() {
        assert_eq!(polyline([(1.0, 2.0), (3.0, 4.5)]), "M1 2L3 4.5");
        assert_eq!(polyline([(1.0, 2.0)]), "M1 2h.1");
        assert_eq!(polyline([]), "");
    }
}
