//! How a request gets to a host, for what is said when it does not: through a proxy, trusting certificate authorities.

use std::env;

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The way to a host, as the environment has it.
pub(super) struct Route {
    /// The proxy in between, without its password.
    proxy: Option<String>,
}

/// What to do about a certificate that nobody trusts.
const PRIVATE: &str = "if its certificate authority is a private one, set SSL_CERT_FILE to a file with its certificate";

impl Route {
    /// As the libraries for requests choose it: by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn to(url: &str) -> Self {
        let proxy = url.parse().ok().and_then(|url: Uri| Matcher::from_env().intercept(&url));
        let proxy = proxy.and_then(|proxy| proxy.uri().authority().map(|authority| authority.as_str().to_owned()));
        // What stands before the host may be a user and a password.
        Self { proxy: proxy.and_then(|proxy| proxy.rsplit('@').next().map(str::to_owned)) }
    }

    /// What to look at when there is no answer for this reason; `also`, unless it is plain why.
    pub fn advice(&self, cause: &str, also: &str) -> String {
        if is_about_certificates(cause) {
            let set =
                ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].iter().find_map(|name| Some((name, env::var(name).ok()?)));
            return match set {
                _ if env::var_os("SSL_CERT_FILE").is_some() => {
                    "the certificates in SSL_CERT_FILE are trusted, and no others: add its authority's there".into()
                }
                Some((name, bundle)) => format!("{name} is {bundle}, which is not there: {PRIVATE}"),
                None => PRIVATE.into(),
            };
        }
        match &self.proxy {
            Some(proxy) => format!(
                "requests go through the proxy {proxy} (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; NO_PROXY for hosts that need \
                 none): check it"
            ),
            None => format!("check the network{also}"),
        }
    }
}

fn is_about_certificates(cause: &str) -> bool {
    ["certificate", "UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|word| cause.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_nobody_trusts_names_the_variable() {
        let advice = Route { proxy: None }.advice("invalid peer certificate: UnknownIssuer", "");
        assert!(advice.contains("SSL_CERT_FILE"), "{advice}");
    }

    #[test]
    fn a_dead_proxy_is_named_and_not_the_host() {
        let advice = Route { proxy: Some("127.0.0.1:9".into()) }.advice("Connection refused (os error 111)", "");
        assert!(advice.contains("the proxy 127.0.0.1:9 (HTTPS_PROXY"), "{advice}");
    }
}
