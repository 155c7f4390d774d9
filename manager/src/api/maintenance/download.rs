//! Files of a session, as far as the request alone tells (spec/maintenance.md §5.5). Whether they can be had, and are what
//! they should be, shows when they are fetched: before any project is disturbed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_core::maintenance::spec::Download;
use reqwest::Url;
use serde_json::Value;

use super::error::{Failure, shown};
use super::fields::Fields;
use crate::api::json::kind;
use crate::api::url::decode;
use crate::config::Maintenance;
use crate::download::{Client, Trouble, allowed};

/// The longest URL and the longest name, in characters.
const URL_MAX: usize = 2048;
const NAME_MAX: usize = 255;

/// How long it is looked for a checksum.
const LOOK: Duration = Duration::from_secs(20);

/// How many files a session may have.
const FILES: usize = 100;

/// The field `download` of a request.
///
/// # Errors
/// 422 with the entry and its rule.
pub(super) fn read(fields: &mut Fields, rules: &Maintenance) -> Result<Vec<Download>, Failure> {
    let mut files: Vec<Download> = Vec::new();
    for (index, entry) in fields.list("download", FILES)?.into_iter().enumerate() {
        let name = format!("download[{index}]");
        let file = match entry {
            Value::String(url) => plain(&name, url, rules)?,
            entry @ Value::Object(_) => whole(&name, entry, rules)?,
            other => {
                let rule = format!("must be a URL or an object, is {}", kind(&other));
                return Err(Failure::field(&name, rule));
            }
        };
        if files.iter().any(|other| other.name == file.name) {
            return Err(Failure::field(&name, format_args!("two files are called {:?}", shown(&file.name))));
        }
        files.push(file);
    }
    Ok(files)
}

/// Looks for the checksums of files whose entries have none, and writes them down: what is beside a file later counts no more.
///
/// # Errors
/// 422 where there is none.
pub(super) async fn complete(files: &mut [Download], rules: &Maintenance) -> Result<(), Failure> {
    let client = Client::new(rules.clone());
    let look = async |index: usize, file: &Download| {
        let sum = tokio::time::timeout(LOOK, client.checksum(&file.url)).await;
        let text = match sum {
            Ok(Ok(digest)) => return Ok(digest.to_string()),
            Ok(Err(Trouble::Final(reason))) => reason.text,
            Ok(Err(Trouble::Passing(text))) => text,
            Err(_) => "the server does not answer".to_owned(),
        };
        let rule = format!("needs a checksum, and the file with the ending .sha256 beside it cannot be had: {text}");
        Err(Failure::field(&format!("download[{index}]"), rule))
    };
    let open = files.iter_mut().enumerate().filter(|(_, file)| file.sha256.is_none() && !file.unchecked);
    let found = open.map(async |(index, file)| {
        file.sha256 = Some(look(index, file).await?);
        Ok(())
    });
    futures::future::try_join_all(found).await.map(drop)
}

/// An entry that is nothing but a URL: beside it there is a file with its checksum, unless none is asked for.
fn plain(name: &str, url: String, rules: &Maintenance) -> Result<Download, Failure> {
    let parsed = checked_url(name, &url, rules)?;
    let file = last_part(&parsed).ok_or_else(|| Failure::field(name, "the path of the URL must end with a name"))?;
    let unchecked = !rules.require_checksum;
    Ok(Download { url, name: file, sha256: None, size: None, signature: None, unchecked })
}

fn whole(name: &str, entry: Value, rules: &Maintenance) -> Result<Download, Failure> {
    let mut fields = Fields::within(name, entry)?;
    let url = fields.text("url", URL_MAX)?.ok_or_else(|| fields.wrong("url", "is required"))?;
    let parsed = checked_url(&fields.name("url"), &url, rules)?;
    let file = match fields.text("name", NAME_MAX)? {
        Some(file) if is_name(&file) => file,
        Some(_) => return Err(fields.wrong("name", "must be the name of a file: no slash, no dot or dash first")),
        None => last_part(&parsed).ok_or_else(|| fields.wrong("name", "is required: the URL does not end with one"))?,
    };
    let sha256 = fields.text("sha256", 64)?.map(|text| text.to_ascii_lowercase());
    if sha256.as_ref().is_some_and(|text| text.len() != 64 || hex::decode(text).is_err()) {
        return Err(fields.wrong("sha256", "must have 64 hexadecimal digits"));
    }
    if sha256.is_none() && rules.require_checksum {
        return Err(fields.wrong("sha256", "is required"));
    }
    let size = match fields.take("size") {
        None => None,
        Some(value) => Some(size(&value, rules).map_err(|rule| fields.wrong("size", rule))?),
    };
    let signature = fields.text("signature", 200)?;
    if signature.as_ref().is_some_and(|text| STANDARD.decode(text).map_or(true, |bytes| bytes.len() != 64)) {
        return Err(fields.wrong("signature", "must be an Ed25519 signature in base64"));
    }
    if signature.is_some() && rules.download_keys.is_empty() {
        return Err(fields.wrong("signature", "cannot be checked: maintenance.download_keys names no key"));
    }
    only_files(&mut fields)?;
    fields.finish()?;
    let unchecked = sha256.is_none();
    Ok(Download { url, name: file, sha256, size, signature, unchecked })
}

/// Refuses kinds of downloads that are not fetched: plug-ins come from the script library, where they are signed.
fn only_files(fields: &mut Fields) -> Result<(), Failure> {
    match fields.text("kind", 16)?.as_deref() {
        None | Some("auto" | "file") => {}
        Some("actions" | "bundle") => {
            return Err(fields.wrong("kind", "plug-ins come from the script library: must be auto or file"));
        }
        Some(_) => return Err(fields.wrong("kind", "must be auto or file")),
    }
    if fields.truth("unpack")? == Some(true) {
        return Err(fields.wrong("unpack", "files are not unpacked; a plug-in can do that"));
    }
    Ok(())
}

fn size(value: &Value, rules: &Maintenance) -> Result<u64, String> {
    let rule = || format!("must be a number of bytes from 0 to {}", rules.download_max_bytes);
    value.as_u64().filter(|size| *size <= rules.download_max_bytes).ok_or_else(rule)
}

fn checked_url(name: &str, url: &str, rules: &Maintenance) -> Result<Url, Failure> {
    let wrong = |rule: &str| Err(Failure::field(name, rule));
    if url.len() > URL_MAX || url.chars().any(|c| c.is_control() || c == ' ') {
        return wrong("must be a URL of at most 2048 characters without blanks");
    }
    let Ok(parsed) = Url::parse(url) else { return wrong("must be a URL") };
    allowed(&parsed, rules).map_or_else(wrong, |()| Ok(parsed))
}

/// What a file is called if nothing else is asked for.
fn last_part(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    Some(decode(last, false)).filter(|name| is_name(name))
}

/// Whether it can only be the name of a file in one folder.
fn is_name(name: &str) -> bool {
    let sign = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with(['.', '-']) && name.chars().all(sign)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(entries: Value, rules: &Maintenance) -> Result<Vec<Download>, Failure> {
        read(&mut Fields::new(json!({ "download": entries }).as_object().unwrap().clone()), rules)
    }

    #[test]
    fn texts_and_objects() {
        let rules = Maintenance::default();
        let sum = "9F".repeat(32);
        let files =
            json!(["https://m.example/a%20b.tar?x=1", {"url": "https://m.example/", "name": "b", "sha256": sum}]);
        let files = all(files, &rules).unwrap();
        assert_eq!((files[0].name.as_str(), &files[0].sha256, files[0].unchecked), ("a b.tar", &None, false));
        assert_eq!(files[1].sha256.as_deref(), Some("9f".repeat(32).as_str()));
        let loose = Maintenance { require_checksum: false, download_http: true, ..rules };
        assert!(all(json!(["http://m.example/a"]), &loose).unwrap()[0].unchecked);
        assert!(all(json!([{"url": "https://m.example/a"}]), &loose).unwrap()[0].unchecked);
    }

    #[test]
    fn what_is_refused() {
        let strict = Maintenance { download_hosts: vec!["m.example".into()], ..Maintenance::default() };
        let sum = "9f".repeat(32);
        let with = |key: &str, value: Value| {
            let mut entry = json!({"url": "https://m.example/a", "sha256": sum});
            entry[key] = value;
            entry
        };
        for (entry, text) in [
            (json!("http://m.example/a"), "download[0]: plain HTTP"),
            (json!("ftp://m.example/a"), "download[0]: must begin"),
            (json!("https://other.example/a"), "download[0]: is at a host"),
            (json!("https://u:p@m.example/a"), "neither a user"),
            (json!("https://m.example/"), "must end with a name"),
            (json!("https://m.example/..%2fetc"), "must end with a name"),
            (json!("a"), "must be a URL"),
            (json!(7), "must be a URL or an object"),
            (json!({"url": "https://m.example/a"}), "download[0].sha256: is required"),
            (with("sha256", json!("xyz")), "download[0].sha256"),
            (with("name", json!("../x")), "download[0].name"),
            (with("name", json!("a/b")), "download[0].name"),
            (with("size", json!(u64::MAX)), "download[0].size"),
            (with("signature", json!("AAAA")), "download[0].signature"),
            (with("kind", json!("actions")), "download[0].kind"),
            (with("unpack", json!(true)), "download[0].unpack"),
            (with("targets", json!({})), "download[0].targets"),
        ] {
            let failure = format!("{:?}", all(json!([entry]), &strict).unwrap_err());
            assert!(failure.contains(text), "{entry}: {failure}");
        }
        let twice = json!(["https://m.example/a", "https://m.example/x/a"]);
        assert!(format!("{:?}", all(twice, &strict).unwrap_err()).contains("two files"));
    }
}
