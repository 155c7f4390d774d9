use super::*;

fn client(url: &str) -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider().install_default();
    drop(provider);
    let url = crate::connect::parse_url(url).unwrap();
    Client::new(&Target { url, token: None, login: None, ca_file: None, up_file: None }).unwrap()
}

fn refused(status: u16, body: &str) -> Failure {
    let mut headers = header::HeaderMap::new();
    headers.insert("X-Request-Id", header::HeaderValue::from_static("r-7"));
    refusal("do it", StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
}

#[test]
fn the_errors_of_all_dialects_are_read() {
    let native = refused(409, r#"{"error":"Conflict","message":"agent is online","code":409,"details":{"host":"a"}}"#);
    assert_eq!((native.kind, native.why.as_str()), (Kind::Conflict, "agent is online (host=a) (HTTP 409)"));
    assert_eq!(native.request.as_deref(), Some("r-7"));
    let introspection = refused(404, r#"{"error":{"message":"Rule x was not found"}}"#);
    assert_eq!((introspection.kind, introspection.why.as_str()), (Kind::NotFound, "Rule x was not found (HTTP 404)"));
    let keystone = refused(401, r#"{"error":{"code":401,"title":"Unauthorized","message":"No."}}"#);
    assert_eq!((keystone.kind, keystone.why.as_str()), (Kind::Unreachable, "No. (HTTP 401)"));
    assert!(keystone.hint.unwrap().contains("HOSTLER_TOKEN"));
    let proxy = refused(502, "<html>");
    assert_eq!((proxy.kind, proxy.why.as_str()), (Kind::Unavailable, "Bad Gateway (HTTP 502)"));
}

#[test]
fn paths_are_escaped_and_a_prefix_is_kept() {
    let client = client("https://a.example/hostler/");
    let call = client.get("x", &["api", "hosts", "a/b c?é"]).query("after", Some("1&2"));
    assert_eq!(call.url.unwrap().as_str(), "https://a.example/hostler/api/hosts/a%2Fb%20c%3F%C3%A9?after=1%262");
    for bad in ["", ".", ".."] {
        assert_eq!(client.get("x", &["api", "hosts", bad]).url.unwrap_err().kind, Kind::Usage);
    }
}

#[test]
fn loopback_is_recognised() {
    for (url, expected) in [
        ("http://127.0.0.1:1", true),
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://10.0.0.1", false),
        ("http://localhost.example", false),
    ] {
        assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
    }
}

#[test]
fn a_token_with_a_line_break_is_refused_before_anything_is_sent() {
    assert_eq!(sensitive("x", "a\nb").unwrap_err().kind, Kind::Usage);
}
