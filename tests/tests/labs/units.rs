//! Units of a host's own systemd, started and stopped by the agent's step (spec/hooks.md §7.2).

use hostler_tests::hosts::{File, Host, Lab, Options};
use serde_json::{Value, json};

/// Does something to a unit; gives the exit code, and the result or the complaint.
fn step(host: &Host<'_>, unit: &str, action: &str) -> (i32, Value, String) {
    let step = json!({ "step": "unit", "unit": unit, "action": action }).to_string();
    host.write(&File::text("/root/step.json", &step)).unwrap();
    let done = host.output(&["hostler-agent", "step", "--file", "/root/step.json"]).unwrap();
    let result = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap(), result, String::from_utf8(done.stderr).unwrap())
}

#[test]
fn a_unit_is_started_and_stopped_and_its_failure_is_told() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let hosts = lab.hosts(&["one"], &Options::default()).unwrap();
    let host = &hosts[0];
    host.install_agent().unwrap();
    for (name, lines) in [
        ("good", "ExecStart=/bin/sleep infinity"),
        ("bad", "Type=oneshot\nExecStart=/bin/false"),
        ("flaps", "ExecStart=/bin/sleep 1\nRestart=always\nRestartSec=0"),
    ] {
        let text = format!("[Service]\n{lines}\n");
        host.write(&File::text(&format!("/etc/systemd/system/{name}.service"), &text)).unwrap();
    }
    host.exec(&["systemctl", "daemon-reload"]).unwrap();

    let (code, result, complaint) = step(host, "good.service", "start");
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{result} {complaint}");
    assert_eq!(
        (&result["before"]["active"], &result["after"]["state"]["sub"]),
        (&json!("inactive"), &json!("running"))
    );
    assert_eq!(host.exec(&["systemctl", "is-active", "good"]).unwrap().trim(), "active");
    let (code, result, _) = step(host, "good.service", "start");
    assert_eq!((code, &result["changed"]), (0, &json!(false)), "{result}");

    let (code, _, complaint) = step(host, "bad.service", "start");
    assert!(code == 1 && complaint.contains("bad.service: the job ended with failed"), "{code} {complaint}");
    let (code, _, complaint) = step(host, "flaps.service", "start");
    assert!(code == 1 && complaint.contains("flaps.service did not stay active"), "{code} {complaint}");
    let (code, _, complaint) = step(host, "absent.service", "start");
    assert!(code == 3 && complaint.contains("not begun: there is no unit absent.service"), "{code} {complaint}");

    // Where there is no bus systemd is asked by its own socket.
    host.exec(&["mv", "/run/dbus/system_bus_socket", "/run/dbus/away"]).unwrap();
    let (code, result, complaint) = step(host, "good.service", "restart");
    host.exec(&["mv", "/run/dbus/away", "/run/dbus/system_bus_socket"]).unwrap();
    assert_eq!((code, &result["changed"]), (0, &json!(true)), "{result} {complaint}");

    let (code, result, _) = step(host, "good.service", "stop");
    assert_eq!((code, &result["after"]["state"]["active"]), (0, &json!("inactive")), "{result}");
}
