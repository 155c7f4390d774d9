//! What people see first: this machine, where everything is, what to try next. At most 25 lines.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::connect::UpFile;
use crate::output::field::show;
use crate::output::{Theme, human, inventory};

/// The most disks and the most interfaces that have a line of their own.
const ROWS: usize = 3;

/// Everything that the summary tells.
pub struct Facts<'a> {
    /// Addresses and paths.
    pub up: &'a UpFile,
    /// This machine's host, if it has an agent.
    pub host: Option<&'a Value>,
    /// Its inventory, if its introspection succeeded.
    pub document: Option<&'a Value>,
    /// How long the introspection took.
    pub took: Option<Duration>,
    /// The state directory.
    pub dir: &'a Path,
    /// The option with which other commands find it, with a leading blank; empty for the default one.
    pub dir_option: String,
    /// Whether the system goes on running.
    pub serving: bool,
}

/// The summary with a final line break.
#[must_use]
pub fn render(theme: &Theme, facts: &Facts<'_>) -> String {
    let mut out = format!("{}\n\n", theme.bold(if facts.serving { "Hostler is up." } else { "Hostler was up." }));
    if let Some(host) = facts.host {
        line(theme, &mut out, "Host", &format!("{}  {}", show(host, "name"), show(host, "id")));
    }
    if let Some(document) = facts.document {
        for (label, text) in inventory::machine(document) {
            line(theme, &mut out, label, &text);
        }
        disks(theme, &mut out, document);
        interfaces(theme, &mut out, document);
        let took = facts.took.map_or_else(String::new, |took| format!("found in {}; ", human::duration(took)));
        line(theme, &mut out, "Inventory", &format!("{took}{}", inventory::completeness(document)));
        out.push('\n');
    }
    line(theme, &mut out, "Manager", &format!("{}  for agents {}", facts.up.url, facts.up.agent_endpoint));
    let secrets = "password and tokens in up.json";
    line(theme, &mut out, "State", &format!("{}  {secrets}", human::clean(&facts.dir.to_string_lossy())));
    if facts.serving {
        next(theme, &mut out, facts);
    }
    out
}

fn next(theme: &Theme, out: &mut String, facts: &Facts<'_>) {
    let option = &facts.dir_option;
    out.push_str(&format!("\n{}\n", theme.bold("Try in another terminal")));
    match facts.host {
        Some(host) => out.push_str(&format!("  hostler{option} inventory show {}\n", shell_word(&show(host, "name")))),
        None => out.push_str(&format!("  hostler{option} join-token create\n")),
    }
    out.push_str(&format!("  hostler{option} host list\n"));
    let clouds = shell_word(&facts.up.clouds_yaml.to_string_lossy());
    out.push_str(&format!(
        "  OS_CLIENT_CONFIG_FILE={clouds} openstack --os-cloud hostler baremetal introspection list\n\
         Ctrl-C stops it; `hostler{option} up` resumes it.\n"
    ));
}

fn disks(theme: &Theme, out: &mut String, document: &Value) {
    let disks = inventory::disks(document);
    let total = if disks.is_empty() { String::new() } else { format!(", {} in all", inventory::disk_total(document)) };
    line(theme, out, "Disks", &format!("{}{total}", disks.len()));
    let rows = disks.iter().map(|disk| {
        [show(disk, "name"), inventory::disk_size(disk), inventory::disk_kind(disk), inventory::disk_model(disk)]
    });
    block(out, rows.collect());
}

fn interfaces(theme: &Theme, out: &mut String, document: &Value) {
    let interfaces = inventory::interfaces(document);
    line(theme, out, "NICs", &interfaces.len().to_string());
    let rows = interfaces.iter().map(|nic| {
        [
            show(nic, "name"),
            inventory::interface_link(nic),
            inventory::interface_address(nic),
            format!("{}  {}", show(nic, "mac_address"), inventory::interface_speed(nic)),
        ]
    });
    block(out, rows.collect());
}

fn line(theme: &Theme, out: &mut String, label: &str, text: &str) {
    let gap = " ".repeat(11_usize.saturating_sub(label.chars().count()));
    out.push_str(&format!("  {}{gap}{text}\n", theme.bold(label)));
}

/// Aligned rows below a label; those that do not fit are counted.
fn block(out: &mut String, rows: Vec<[String; 4]>) {
    let shown = if rows.len() > ROWS { ROWS - 1 } else { rows.len() };
    let width = |column: usize| rows[..shown].iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for row in &rows[..shown] {
        let text = format!(
            "{:<a$}  {:<b$}  {:<c$}  {}",
            row[0],
            row[1],
            row[2],
            row[3],
            a = widths[0],
            b = widths[1],
            c = widths[2]
        );
        out.push_str(&format!("             {}\n", text.trim_end()));
    }
    if rows.len() > shown {
        out.push_str(&format!("             and {} more\n", rows.len() - shown));
    }
}

/// `text` as one word of a shell line.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let text = human::clean(text);
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@'));
    if plain && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn up_file() -> UpFile {
        serde_json::from_value(json!({
            "url": "http://127.0.0.1:8080", "agent_endpoint": "127.0.0.1:7443", "username": "admin", "password": "PASS",
            "project": "admin", "domain": "Default", "token": "TOKEN", "join_token": "JOIN",
            "ca_file": "/s/manager/ca.pem", "clouds_yaml": "/s/clouds.yaml",
        }))
        .unwrap()
    }

    fn summary(host: Option<&Value>, document: Option<&Value>, serving: bool) -> String {
        let up = up_file();
        let facts = Facts {
            up: &up,
            host,
            document,
            took: document.map(|_| Duration::from_millis(342)),
            dir: Path::new("/s"),
            dir_option: " --state-dir /s".into(),
            serving,
        };
        render(&Theme::plain(), &facts)
    }

    #[test]
    fn it_shows_the_machine_and_what_to_do_next() {
        let host = json!({"name": "ceph-07", "id": "0192f3c4-0000-7000-8000-000000000001"});
        let text = summary(Some(&host), Some(&inventory::example()), true);
        let expected = "\
Hostler is up.

  Host       ceph-07  0192f3c4-0000-7000-8000-000000000001
  System     Acme S2U, serial A1, uefi boot
  OS         Debian GNU/Linux 13, kernel 6.12.9
  CPU        Example 6330, 64 threads, 2 sockets, x86_64
  Memory     256 GiB (251 GiB usable)
  Disks      2, 3.5 TiB in all
             /dev/nvme0n1  3.49 TiB  nvme SSD    X1
             /dev/vda      10 GiB    virtio HDD  -
  NICs       2
             ens1f0  up    192.0.2.50  52:54:00:aa:00:01  25 Gbit/s
             ens1f1  down  -           52:54:00:aa:00:02  -
  Inventory  found in 0.34 s; 1 of 2 sections complete; bmc unavailable

  Manager    http://127.0.0.1:8080  for agents 127.0.0.1:7443
  State      /s  password and tokens in up.json

Try in another terminal
  hostler --state-dir /s inventory show ceph-07
  hostler --state-dir /s host list
  OS_CLIENT_CONFIG_FILE=/s/clouds.yaml openstack --os-cloud hostler baremetal introspection list
Ctrl-C stops it; `hostler --state-dir /s up` resumes it.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn it_never_has_more_than_25_lines_nor_secrets() {
        let host = json!({"name": "a", "id": "b"});
        let mut document = inventory::example();
        for list in ["disks", "interfaces"] {
            let items: Vec<Value> = (0..40).map(|number| json!({"name": format!("x{number}"), "size": 1})).collect();
            document["inventory"][list] = items.into();
        }
        let text = summary(Some(&host), Some(&document), true);
        assert!(text.lines().count() <= 25, "{text}");
        assert!(text.contains("and 38 more"));
        for secret in ["PASS", "TOKEN", "JOIN"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn without_an_agent_it_tells_how_to_add_hosts() {
        let text = summary(None, None, true);
        assert!(text.contains("join-token create") && !text.contains("Host "), "{text}");
        assert!(!summary(None, None, false).contains("Try"));
    }

    #[test]
    fn shell_words_are_safe_to_paste() {
        assert_eq!(shell_word("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(shell_word("a b'c$(d)"), "'a b'\\''c$(d)'");
    }
}
