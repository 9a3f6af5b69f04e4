//! Transport URIs: `scheme:rest?key=value&key=value`.

use std::{cell::RefCell, fmt, str::FromStr, time::Duration};

/// A parsed transport URI, consumed parameter by parameter.
///
/// A driver takes the parameters it knows with [`take`](Self::take) and ends with [`finish`](Self::finish), which
/// refuses what is left over and names what would have been known.
///
/// ```
/// # use hemi_queue::Uri;
/// let uri: Uri = "kernel:?backend=epoll".parse()?;
/// assert_eq!(uri.scheme(), "kernel");
/// let backend: Option<String> = uri.take("backend")?;
/// assert_eq!(backend.as_deref(), Some("epoll"));
/// uri.finish()?;
/// # Ok::<(), hemi_queue::UriError>(())
/// ```
#[derive(Debug)]
pub struct Uri {
    text: String,
    scheme: String,
    path: String,
    params: RefCell<Vec<(String, String)>>,
    known: RefCell<Vec<&'static str>>,
}

/// Why a transport URI was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriError {
    uri: String,
    why: String,
}

impl UriError {
    /// `uri` was refused because of `why`, a sentence that says what would be accepted.
    pub fn new(uri: impl Into<String>, why: impl Into<String>) -> Self {
        Self { uri: uri.into(), why: why.into() }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transport `{}`: {}", self.uri, self.why)
    }
}

impl std::error::Error for UriError {}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(UriError::new(text, "no scheme; write `scheme:...`, for example `kernel:`"));
        };
        let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        if scheme.is_empty() || !scheme.chars().all(ok) {
            return Err(UriError::new(
                text,
                "a scheme is letters, digits, `+`, `-`, `.`, `_` before the first `:`",
            ));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut params = Vec::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            scheme: scheme.to_owned(),
            path: path.to_owned(),
            params: RefCell::new(params),
            known: RefCell::default(),
        })
    }
}

impl Uri {
    /// What stands before the first `:`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between the `:` and the `?`: a device, a path, a name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Take the parameter `key`, parsed; `None` when it was not given. Of a repeated parameter the first is taken.
    pub fn take<T>(&self, key: &'static str) -> Result<Option<T>, UriError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.known.borrow_mut().push(key);
        let mut params = self.params.borrow_mut();
        let Some(at) = params.iter().position(|(k, _)| k == key) else { return Ok(None) };
        let (_, value) = params.remove(at);
        match value.parse() {
            Ok(v) => Ok(Some(v)),
            Err(e) => Err(UriError::new(&self.text, format!("parameter `{key}={value}`: {e}"))),
        }
    }

    /// Take every value of the repeatable parameter `key`, in order.
    pub fn take_all<T>(&self, key: &'static str) -> Result<Vec<T>, UriError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let mut all = Vec::new();
        while let Some(v) = self.take(key)? {
            all.push(v);
        }
        Ok(all)
    }

    /// Refuse what no `take` asked for.
    pub fn finish(&self) -> Result<(), UriError> {
        let params = self.params.borrow();
        let Some((key, _)) = params.first() else { return Ok(()) };
        let mut known = self.known.borrow().clone();
        if known.iter().any(|k| k == key) {
            return Err(self.error(format!("parameter `{key}` is given more than once")));
        }
        known.sort_unstable();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(UriError::new(
            &self.text,
            format!("unknown parameter `{key}`; `{}:` knows: {known}", self.scheme),
        ))
    }

    /// An error about this URI.
    pub fn error(&self, why: impl Into<String>) -> UriError {
        UriError::new(&self.text, why)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A span of time as a parameter's value: a whole number and `ns`, `us`, `ms` or `s`.
///
/// ```
/// # use hemi_queue::{Span, Uri};
/// let uri: Uri = "mem:?latency=50us".parse()?;
/// assert_eq!(uri.take::<Span>("latency")?, Some(Span(std::time::Duration::from_micros(50))));
/// # Ok::<(), hemi_queue::UriError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "write a whole number and ns, us, ms or s, for example `50us`";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| WHAT)?;
        let scale = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => return Err(WHAT),
        };
        number.checked_mul(scale).map(|n| Self(Duration::from_nanos(n))).ok_or(WHAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_path_and_params() {
        let uri: Uri = "tap:hemi0?ip=10.0.0.2/24&ip=fd00::2/64&mtu=1500".parse().unwrap();
        assert_eq!((uri.scheme(), uri.path()), ("tap", "hemi0"));
        assert_eq!(uri.take_all::<String>("ip").unwrap(), ["10.0.0.2/24", "fd00::2/64"]);
        assert_eq!(uri.take::<u16>("mtu").unwrap(), Some(1500));
        uri.finish().unwrap();
    }

    #[test]
    fn says_what_is_known() {
        let uri: Uri = "kernel:?backnd=uring".parse().unwrap();
        assert_eq!(uri.take::<String>("backend").unwrap(), None);
        let e = uri.finish().unwrap_err().to_string();
        assert!(e.contains("backnd") && e.contains("knows: backend"), "{e}");
    }

    #[test]
    fn a_parameter_given_twice_is_not_called_unknown() {
        let uri: Uri = "kernel:?backend=uring&backend=poll".parse().unwrap();
        assert_eq!(uri.take::<String>("backend").unwrap().as_deref(), Some("uring"));
        assert!(uri.finish().unwrap_err().to_string().ends_with("`backend` is given more than once"));
    }

    #[test]
    fn refuses_nonsense() {
        assert!("kernel".parse::<Uri>().is_err());
        assert!(":x".parse::<Uri>().is_err());
        assert!("a b:x".parse::<Uri>().is_err());
        let uri: Uri = "tap:x?mtu=big".parse().unwrap();
        assert!(uri.take::<u16>("mtu").unwrap_err().to_string().contains("mtu=big"));
    }
}
