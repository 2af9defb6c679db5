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
fn what_is_in_a_hidden_element_is_seen_where_its_style_says_so() {
    for html in [
        "<td style='font-size:0px'><div style='font-size:13px'>seen</div></td>",
        "<p style='' style='display:none'>seen</p>",
        "<p style='display:none;display:block'>seen",
        "<p style='display:block!important;display:none'>seen",
        "<p hidden style='display:block'>seen",
        "<p style='visibility:hidden'>x<b style='visibility: visible'>seen</b>x",
        "<p style='font-size:0;font-size:12px'>seen",
        "<p style='font-size:0'>x<b style='font-size:small'>seen<i style='font-size:0%'>x",
        "<p style='opacity:0;opacity:1'>seen",
        "<p style='display:none ! urgent'>seen",
        "<p style='font-size:0'>x<b style='font-size:clamp(1px, 2vw, 3px)'>seen",
    ] {
        assert_eq!(text(html).trim(), "seen", "{html}");
    }
    for html in [
        "<p style='display: none ! important'>x",
        "<p style='display:/**/none'>x",
        "<p style='display:none!important;display:block'>x",
        "<p style='display:none'><b style='display:block'>x",
        "<p style='opacity:0'><b style='opacity:1'>x",
        "<p hidden style='opacity:1'>x",
        "<p style='font-size:0'><b style='font-size:2em'>x<i style='font-size:90%'>x",
        "<p style='visibility:hidden'><b style='visibility:inherit'>x",
        "<p style='visibility:hidden;visibility:yes'>x",
        "<p style='font-size:0;font-size:-1px'>x",
        "<title style='display:block'>x",
        "<p style='/* ; */ display:none; /* display:block'>x",
    ] {
        assert_eq!(text(html).trim(), "", "{html}");
    }
}

#[test]
fn a_block_that_is_not_drawn_still_begins_a_line() {
    assert_eq!(text("a<div style='visibility:hidden'>x</div>b"), "a\nb");
    assert_eq!(text("a<div style='display:none'>x</div>b"), "ab");
}

#[test]
fn what_is_there_for_those_without_scripts_is_read_as_markup() {
    let html = "<noscript>Zoë Müller &amp; Émile Roux met <b>here</b></noscript>";
    assert_eq!(text(html), "Zoë Müller & Émile Roux met here");
    assert_eq!((original(html, "Émile Roux"), original(html, "&")), ("Émile Roux".into(), "&amp;".into()));
    assert_eq!(text("a<noscript><p>BUY <b>NOW</b></p></noscript>b"), "a\nBUY NOW\nb");
}

#[test]
fn what_is_no_markup_stands_for_itself() {
    for (html, expected) in [
        ("<xmp>a &amp; <b>Zoë</b></xmp>c", "a &amp; <b>Zoë</b>c"),
        ("<plaintext>a &amp; <b>Zoë</plaintext>", "a &amp; <b>Zoë</plaintext>"),
        ("<textarea>a &amp; <b>Zoë</b>\0</textarea>c", "a & <b>Zoë</b>\u{fffd}c"),
        ("<noframes><p>x</noframes>Zoë", "Zoë"),
    ] {
        assert_eq!(text(html), expected, "{html}");
        assert_eq!(original(html, "Zoë"), "Zoë", "{html}");
    }
}

#[test]
fn what_is_hidden_is_hidden_at_any_depth() {
    let deep = |inner: &str| "<b>".repeat(600) + inner + &"</b>".repeat(600);
    let html = deep("seen<script>var x=1</script><div hidden>x<div>x</div>x</div>");
    assert_eq!(text(&html), "seen");
    let html = "<div hidden>".to_owned() + &"<div>".repeat(600) + &"</div>".repeat(600) + "x</div>seen";
    assert_eq!(text(&html), "seen");
    assert_eq!(text(&(deep("a<i hidden>x</i>") + "<p>b")), "a\nb");
}

/// Work that grew with the square of the size would not end here in hours.
#[test]
fn a_page_of_any_form_is_read_to_its_end() {
    let html = "<a>".repeat(100_000) + &"</b>".repeat(100_000) + "x" + &"<p>&#".repeat(50_000);
    assert!(text(&html).contains('x'));
    for tag in ["b", "xmp", "textarea", "noscript", "plaintext"] {
        let html = format!("<{tag}>&amp;\0</>{}", "a".repeat(900_000));
        let read = clean(&html).unwrap();
        assert_eq!(read.places.last(), Some(&(html.len() as u32 - 1..html.len() as u32)), "{tag}");
    }
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
                "</?(noscript|xmp|plaintext|textarea|iframe|noframes|title)>", Just("</>".to_owned()),
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
            let from = letters[place.start as usize];
            prop_assert!(place.end == place.start + 1 || from == '&' || letter.is_whitespace(), "{letter:?} from {place:?}");
            if place.end == place.start + 1 && !letter.is_whitespace() && letter != '\u{fffd}' {
                prop_assert_eq!(letter, from);
            }
        }
    }
}
