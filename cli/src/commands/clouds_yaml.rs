//! `hostler clouds-yaml`: the file from which the stock OpenStack clients take their connection.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::connect::Login;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::output::yaml;

/// Name of the cloud in the file, as in `openstack --os-cloud hostler`.
pub const CLOUD: &str = "hostler";

/// For whom.
#[derive(Args, Debug)]
pub struct CloudsYamlArgs {
    /// Name of the cloud in the file
    #[arg(long, default_value = CLOUD)]
    cloud: String,
    /// User name; without it, that of HOSTLER_USERNAME or of the local `hostler up`
    #[arg(long)]
    username: Option<String>,
    /// Project name; without it, that of HOSTLER_PROJECT or of the local `hostler up`
    #[arg(long)]
    project: Option<String>,
    /// Leave the password out, for the client to ask or read it elsewhere
    #[arg(long)]
    no_password: bool,
}

/// Prints the file.
///
/// # Errors
/// No manager is named, no user is named, or the password that is known is refused.
pub async fn run(args: CloudsYamlArgs, context: &Context) -> Result<(), Failure> {
    let target = context.connect.target()?;
    let client = Client::new(&target)?;
    let known = target.login.filter(|login| args.username.as_ref().is_none_or(|name| *name == login.username));
    let login = match (known, args.username) {
        (Some(login), _) => Login { project: args.project.unwrap_or(login.project), ..login },
        (None, Some(username)) => {
            let project = args.project.unwrap_or_else(|| username.clone());
            Login { username, password: String::new(), project, domain: "Default".into() }
        }
        (None, None) => {
            return Err(Failure::new(Kind::Usage, "cannot write a clouds.yaml", "no user is named")
                .hint("use --username and --project, or set HOSTLER_USERNAME and HOSTLER_PASSWORD"));
        }
    };
    let region = if login.password.is_empty() { None } else { region(&client.log_in(&login).await?.1) };
    let login = if args.no_password { Login { password: String::new(), ..login } } else { login };
    output::write_out(
        render(&args.cloud, client.url(), &login, region.as_deref(), target.ca_file.as_deref()).as_bytes(),
    )
}

/// The region of the catalogue in what Keystone tells of a token.
#[must_use]
pub fn region(token: &Value) -> Option<String> {
    let services = token["catalog"].as_array()?;
    let mut endpoints = services.iter().filter_map(|service| service["endpoints"].as_array()).flatten();
    endpoints.find_map(|endpoint| endpoint["region"].as_str().or(endpoint["region_id"].as_str())).map(str::to_owned)
}

/// The file: a password login at our identity service, and where the introspection service is for clients that do not
/// read the catalogue. Without a password, the client asks. The CA is named only for https.
#[must_use]
pub fn render(cloud: &str, url: &str, login: &Login, region: Option<&str>, ca: Option<&std::path::Path>) -> String {
    let mut auth = Map::new();
    auth.insert("auth_url".into(), format!("{url}/identity/v3").into());
    auth.insert("username".into(), login.username.as_str().into());
    if !login.password.is_empty() {
        auth.insert("password".into(), login.password.as_str().into());
    }
    auth.insert("project_name".into(), login.project.as_str().into());
    auth.insert("user_domain_name".into(), login.domain.as_str().into());
    auth.insert("project_domain_name".into(), login.domain.as_str().into());
    let mut entry = Map::new();
    entry.insert("auth_type".into(), "password".into());
    entry.insert("auth".into(), auth.into());
    if let Some(region) = region {
        entry.insert("region_name".into(), region.into());
    }
    entry.insert("identity_api_version".into(), "3".into());
    entry.insert("baremetal_introspection_endpoint_override".into(), format!("{url}/introspection").into());
    if let (true, Some(ca)) = (url.starts_with("https:"), ca) {
        entry.insert("cacert".into(), ca.to_string_lossy().into());
    }
    yaml::document(&json!({"clouds": {cloud: entry}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_stock_clients_read() {
        let login = Login {
            username: "admin".into(),
            password: "1e5".into(),
            project: "admin".into(),
            domain: "Default".into(),
        };
        let ca = std::path::Path::new("/s/ca.pem");
        assert_eq!(
            render("hostler", "http://127.0.0.1:8080", &login, Some("RegionOne"), Some(ca)),
            "clouds:\n  hostler:\n    auth_type: password\n    auth:\n      auth_url: \"http://127.0.0.1:8080/identity/v3\"\n      username: admin\n      password: \"1e5\"\n      project_name: admin\n      user_domain_name: Default\n      project_domain_name: Default\n    region_name: RegionOne\n    identity_api_version: \"3\"\n    baremetal_introspection_endpoint_override: \"http://127.0.0.1:8080/introspection\"\n"
        );
        let login = Login { password: String::new(), ..login };
        let text = render("hostler", "https://a", &login, None, Some(ca));
        assert!(text.contains("cacert: /s/ca.pem") && !text.contains("password:") && !text.contains("region_name"));
    }

    #[test]
    fn the_region_comes_from_the_catalogue() {
        let token = json!({"catalog": [{"type": "x", "endpoints": []}, {"endpoints": [{"region": "r1"}]}]});
        assert_eq!(region(&token).as_deref(), Some("r1"));
        assert_eq!(region(&json!({})), None);
    }
}
