//! Takes out of a library's words what may be a secret.

/// The innermost cause of an error, in words that have no user, password or query of a URL in them.
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    urls(&innermost.to_string())
}

/// The same text, each URL in it cut to scheme, host and path.
fn urls(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        format!("{scheme}://{host}{path}")
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::urls;

    #[test]
    fn a_url_keeps_scheme_host_and_path() {
        assert_eq!(
            urls("GET https://u:p@cdn.host/a/b?X-Amz-Signature=1 failed (http://h?q) thrice"),
            "GET https://cdn.host/a/b failed (http://h thrice"
        );
    }

    #[test]
    fn other_text_stays_as_it_is() {
        assert_eq!(urls("connection refused: a@b?c"), "connection refused: a@b?c");
    }
}
