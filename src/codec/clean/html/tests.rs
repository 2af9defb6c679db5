use proptest::prelude::*;

use super::*;

fn text(html: &str) -> String {
    clean(html).map_or_else(|| html.to_owned(), |cleaned| cleaned.text)
}

/// What the document has in the place of a part of the visible text.
fn original(html: &str, part: &str) -> String {
    let cleaned = clean(html).unwrap();
    let start = cleaned.text[..cleaned.text.find(part).unwrap()].chars().count();
    let places = &cleaned.places[start..start + part.chars().count()];
    let letters: Vec<char> = html.chars().collect();
    letters[places[0].start as usize..places[places.len() - 1].end as usize].iter().collect()
}

#[test]
fn what_is_seen_is_read_and_its_lines_are_lines() {
    for (html, expected) in [
        ("<p>Hello <b>Zo&euml;</b>,</p>\n<p>Lunch?<br>Bob</p>", "Hello Zoë,\nLunch?\nBob"),
        ("<ul><li>one<li>two</ul>three", "one\ntwo\nthree"),
        ("<table><tr><td>a<td>b</tr><tr><td>c</table>", "a b\nc"),
        ("A\n  lot   of\tspace&nbsp;!", "A lot of space\u{a0}!"),
        ("<pre>a\n  b</pre>c", "a\n  b\nc"),
        ("1 &lt; 2 &amp;&amp; 4 > 3 &#128512;", "1 < 2 && 4 > 3 😀"),
        ("Fr<i></i>ee", "Free"),
        ("<h1>T</h1>x<hr>y", "T\nx\ny"),
        ("plain, as it is", "plain, as it is"),
        ("<p>", ""),
    ] {
        assert_eq!(text(html), expected, "{html}");
    }
}

#[test]
fn what_is_hidden_is_not_read() {
    for html in [
        "<html><head><title>x</title><style>p{x}</style></head><body>seen</body></html>",
        "<title>x</title>seen<script>if (a < b) { '</p>x' }</script>",
        "se<!-- x -->en<!--x-->",
        "<div style='color:red; DISPLAY : none !important'>x<p>x</p></div>seen",
        "<p hidden>x<p>seen",
        "<div hidden=''>x</div>seen",
        "<span style=\"visibility:hidden\">x</span>seen<span style='font-size:0px'>x</span><i style=opacity:0.0>x</i>",
        "<table><tr><td style='display:none'>x<td>seen</table>",
        "<template>x</template>seen<iframe>x</iframe>",
        "<div style='mso-hide:all'><br></div>seen<div hidden><div>x</div>x</div>",
        "<ul><li hidden>x<li>seen</ul>",
        "<head><meta charset=utf-8>seen",
        "<span style='display:none'>x</b></span>seen</div>",
    ] {
        assert_eq!(text(html).trim(), "seen", "{html}");
    }
    assert_eq!(text("<p style='font-size:0.9em;opacity:1'>seen <s hiddenx>too</s>"), "seen too");
}

#[test]
fn each_part_of_the_text_comes_from_its_part_of_the_markup() {
    let html = "<p>🎉 met <b>Zo&euml;</b>  M&#252;ller<br>in <i title='x'>New</i>\n York</p>";
    for (part, expected) in [
        ("Zoë", "Zo&euml;"),
        ("Zoë Müller", "Zo&euml;</b>  M&#252;ller"),
        ("New York", "New</i>\n York"),
        ("🎉", "🎉"),
        ("met", "met"),
        ("r\nin", "r<br>in"),
    ] {
        assert_eq!(original(html, part), expected);
    }
}

#[test]
fn depth_and_ends_without_beginnings_take_no_time() {
    let started = std::time::Instant::now();
    let html = "<a>".repeat(100_000) + &"</b>".repeat(100_000) + "x" + &"<p>&#".repeat(50_000);
    assert!(text(&html).contains('x'));
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn places_are_in_order_and_letters_stand_where_they_say(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("<p>".to_owned()), Just("</p>".to_owned()), Just("<b a='é'>".to_owned()), Just("<br/>".to_owned()),
                Just("&amp;".to_owned()), Just("&eacute;x".to_owned()), Just("&".to_owned()), Just("<".to_owned()),
                Just("<!--é-->".to_owned()), Just("<style>".to_owned()), Just("</style>".to_owned()), Just("\r\n".to_owned()),
                Just("<p hidden>".to_owned()), Just("&#x1F389;".to_owned()), "[ -~]{0,6}", "[é東🎉\u{0}\r]{0,3}", any::<String>(),
            ],
            0..16,
        ),
    ) {
        let html: String = pieces.concat();
        let Some(cleaned) = clean(&html) else { return Ok(()) };
        let letters: Vec<char> = html.chars().collect();
        prop_assert_eq!(cleaned.text.chars().count(), cleaned.places.len());
        let mut at = 0;
        for (letter, place) in cleaned.text.chars().zip(&cleaned.places) {
            prop_assert!(place.start < place.end && place.end as usize <= letters.len());
            prop_assert!(at <= place.start, "in order");
            at = place.start;
            if place.end == place.start + 1 && !letter.is_whitespace() && letter != '\u{fffd}' {
                prop_assert_eq!(letter, letters[place.start as usize]);
            }
        }
    }
}
