//! Parameters of requests: those behind the question mark, and the pages of lists.

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use super::body::shown;
use super::error::{Error, Result};

/// How many entries a page has unless the caller says otherwise.
const LIMIT_DEFAULT: u32 = 100;

/// How many entries a page has at the most.
const LIMIT_MAX: u32 = 1000;

/// The parameters behind the question mark, taken one by one; [`Query::finish`] refuses what is left, as a mistyped filter
/// that is ignored would show too much.
#[derive(Clone, Debug)]
pub struct Query {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let left = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::new(StatusCode::BAD_REQUEST, "the query cannot be read"))?
            .0;
        Ok(Self { left, known: Vec::new() })
    }
}

impl Query {
    /// The value of a parameter.
    ///
    /// # Errors
    /// It is given twice.
    pub fn take(&mut self, name: &'static str) -> Result<Option<String>> {
        self.known.push(name);
        let mut found = None;
        let mut twice = false;
        self.left.retain(|(key, value)| {
            if key != name {
                return true;
            }
            twice |= found.replace(value.clone()).is_some();
            false
        });
        if twice { Err(Error::field(name, "is given twice")) } else { Ok(found) }
    }

    /// One of several words, or nothing.
    ///
    /// # Errors
    /// It is another word; `words` says which there are.
    pub fn word<T>(
        &mut self,
        name: &'static str,
        words: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let wrong = || Error::field(name, format_args!("must be one of {words}, is {:?}", shown(&text)));
        read(&text).map(Some).ok_or_else(wrong)
    }

    /// A truth value; absent means false.
    ///
    /// # Errors
    /// It is neither `true` nor `false`.
    pub fn flag(&mut self, name: &'static str) -> Result<bool> {
        Ok(self.word(name, "true, false", |text| text.parse().ok())?.unwrap_or(false))
    }

    /// How many entries are asked for.
    ///
    /// # Errors
    /// Not a number from 1 to 1000.
    pub fn limit(&mut self) -> Result<u32> {
        let Some(text) = self.take("limit")? else { return Ok(LIMIT_DEFAULT) };
        let read = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        read.ok_or_else(|| Error::field("limit", format_args!("must be a number from 1 to {LIMIT_MAX}")))
    }

    /// Where a page begins: what [`Page::new`] put into `next` of the page before.
    ///
    /// # Errors
    /// It does not come from there.
    pub fn after<T: std::str::FromStr>(&mut self) -> Result<Option<T>> {
        let Some(text) = self.take("after")? else { return Ok(None) };
        let read = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        read.map(Some).ok_or_else(|| Error::field("after", "must be the `next` of the page before"))
    }

    /// Refuses parameters that nobody asked for.
    ///
    /// # Errors
    /// There is one.
    pub fn finish(self) -> Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => {
                let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
                Err(Error::field(&shown(name), format_args!("is not a parameter here; parameters are: {known}")))
            }
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Page<T> {
    data: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> Page<T> {
    /// The page of `found`, which was looked for with a limit of `limit` + 1: an entry too many says that there is a
    /// further page. `key` is what the next page begins after.
    pub fn new<F, K: ToString>(
        mut found: Vec<F>,
        limit: u32,
        key: impl FnOnce(&F) -> K,
        render: impl FnMut(F) -> T,
    ) -> Self {
        let limit = limit as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| BASE64.encode(key(last).to_string()));
        Self { data: found.into_iter().map(render).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn query(text: &str) -> Query {
        let request = http::Request::get(format!("/x?{text}")).body(()).unwrap();
        Query::from_request_parts(&mut request.into_parts().0, &()).await.unwrap()
    }

    #[tokio::test]
    async fn pages_follow_each_other() {
        let page = Page::new(vec![3_i64, 4, 5], 2, |n| *n, |n| n);
        assert_eq!(page.data, [3, 4]);
        let next = page.next.unwrap();
        let after = query(&format!("after={next}")).await.after::<i64>().unwrap();
        assert_eq!(after, Some(4));
        assert_eq!(Page::new(vec![3_i64, 4], 2, |n| *n, |n| n).next, None);
        assert_eq!(Page::new(Vec::<i64>::new(), 2, |n| *n, |n| n).next, None);
    }

    #[tokio::test]
    async fn parameters_are_checked() {
        for bad in ["0", "1001", "-1", "a", ""] {
            assert!(query(&format!("limit={bad}")).await.limit().is_err(), "{bad}");
        }
        assert_eq!(query("limit=1000").await.limit(), Ok(1000));
        assert_eq!(query("").await.limit(), Ok(100));
        assert!(query("after=%21").await.after::<i64>().is_err());
        assert!(query("a=1&a=2").await.take("a").is_err());
        assert!(query("a=1").await.finish().is_err());
        assert_eq!(query("a=true").await.flag("a"), Ok(true));
        assert!(query("a=yes").await.flag("a").is_err());
    }
}
