//! Packages of a host, upgraded by the agent's step from an archive that is in the host (spec/maintenance.md §5.4).

use hostler_tests::hosts::{File, Host, Lab, Options};
use serde_json::{Value, json};

/// Makes the step; gives the exit code, the result and the complaint.
fn packages(host: &Host<'_>, mut step: Value) -> (i32, Value, String) {
    step["step"] = json!("packages");
    host.write(&File::text("/root/step.json", &step.to_string())).unwrap();
    let done = host.output(&["hostler-agent", "step", "--file", "/root/step.json"]).unwrap();
    let result = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    (done.status.code().unwrap(), result, String::from_utf8(done.stderr).unwrap())
}

/// What a step that must succeed changed, as `name from to`.
fn changed(host: &Host<'_>, step: Value) -> Vec<String> {
    let (code, result, complaint) = packages(host, step);
    assert_eq!(code, 0, "{complaint}");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let packages = result["after"]["packages"].as_array().unwrap();
    assert_eq!(result["changed"], !packages.is_empty(), "{result}");
    packages.iter().map(|one| format!("{} {} {}", text(&one["name"]), text(&one["from"]), text(&one["to"]))).collect()
}

#[test]
fn packages_are_upgraded_held_and_named() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let host = lab.host("one", Options::default()).unwrap();
    host.install_agent().unwrap();
    host.archive("/srv/main", "main", "", &["tiny=1.0", "held=1.0", "weak=1.0"]).unwrap();
    host.archive("/srv/fixes", "stable-security", "", &["other=1.0"]).unwrap();
    host.apt_from(&["/srv/main", "/srv/fixes"]).unwrap();

    let all = json!({"scope": "named", "names": ["tiny", "held=1.0", "weak"], "refresh": true});
    assert_eq!(changed(&host, all.clone()), ["held - 1.0", "tiny - 1.0", "weak - 1.0"]);
    assert!(changed(&host, all).is_empty());
    host.write(&File::text("/etc/tiny.conf", "of an operator\n")).unwrap();

    // Newer versions; that of one of them mends a security problem.
    host.archive("/srv/main", "main", "", &["tiny=2.0", "held=2.0"]).unwrap();
    host.archive("/srv/fixes", "stable-security", "", &["weak=1.1"]).unwrap();
    assert!(changed(&host, json!({"scope": "upgrade"})).is_empty(), "the lists are those of before");
    let security = json!({"scope": "security", "refresh": true});
    assert_eq!(changed(&host, security.clone()), ["weak 1.0 1.1"]);
    assert!(changed(&host, security).is_empty());

    let hold = json!({"scope": "upgrade", "hold": ["held"]});
    let mut only = hold.clone();
    only["download_only"] = json!(true);
    assert!(changed(&host, only).is_empty());
    assert_eq!(changed(&host, hold), ["tiny 1.0 2.0"]);
    assert_eq!(host.read("/etc/tiny.conf").unwrap(), "of an operator\n", "what an operator changed stays");
    assert_eq!(host.read("/etc/weak.conf").unwrap(), "setting of 1.1\n", "what nobody changed does not");
    assert_eq!(changed(&host, json!({"scope": "upgrade"})), ["held 1.0 2.0"], "a hold is for one run");

    // A mark of a package that wants a reboot is told.
    host.exec(&["sh", "-c", "touch /run/reboot-required; echo held >/run/reboot-required.pkgs"]).unwrap();
    let (_, result, _) = packages(&host, json!({"scope": "upgrade"}));
    assert_eq!(result["after"]["reboot_required"], true, "{result}");
    assert!(result["detail"].as_str().unwrap().contains("held"), "{result}");

    for (step, wanted) in [
        (json!({"scope": "named", "names": ["absent"]}), "absent"),
        (json!({"scope": "named", "names": ["tiny=9"]}), "9"),
        (json!({"scope": "named", "names": ["-y"]}), "not the name of a package"),
    ] {
        let (code, _, complaint) = packages(&host, step);
        assert!(code == 3 && complaint.contains(wanted), "{code} {complaint}");
    }
}

#[test]
fn a_package_manager_at_work_is_seen() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let host = lab.host("one", Options::default()).unwrap();
    host.install_agent().unwrap();
    let hold = "import fcntl, os, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); open('/root/new', 'w').write(str(os.getpid())); os.rename('/root/new', '/root/held'); time.sleep(120)";
    let mut holder = host.spawn(&["python3", "-c", hold]).unwrap();
    hostler_tests::shell::wait(hostler_tests::shell::PATIENCE, "the lock is held", || {
        Ok(host.output(&["test", "-e", "/root/held"])?.status.success())
    })
    .unwrap();
    let step = json!({"step": "precheck", "packages_idle": true}).to_string();
    host.write(&File::text("/root/step.json", &step)).unwrap();
    let check = || host.output(&["hostler-agent", "step", "--file", "/root/step.json"]).unwrap();
    let done = check();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("a package manager is at work: /var/lib/dpkg/lock-frontend")
    );
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(result["after"]["packages"].is_string(), "what it found is told all the same: {result}");
    host.exec(&["kill", host.read("/root/held").unwrap().trim()]).unwrap();
    holder.wait().unwrap();
    assert_eq!(check().status.code(), Some(0));
}
