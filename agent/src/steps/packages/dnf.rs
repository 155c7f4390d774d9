//! dnf and rpm. dnf waits for another one by itself.

use hostler_common::step::maintenance::{PackageScope, Packages};

use super::{Installed, Manager, Plan, execute, listed, words};
use crate::steps::Failure;

/// dnf.
#[derive(Debug)]
pub(super) struct Dnf;

impl Manager for Dnf {
    fn installed(&self) -> Result<Installed, Failure> {
        let format = "%{NAME}.%{ARCH}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\tinstalled\\n";
        let ended = execute(&words(&["rpm", "-qa", "--qf", format])).map_err(Failure::Refused)?;
        Ok(listed(&ended.output))
    }

    fn refresh(&self) -> Result<(), Failure> {
        execute(&words(&["dnf", "-q", "-y", "makecache", "--refresh"])).map(drop).map_err(Failure::Refused)
    }

    fn plan(&self, step: &Packages, _: &Installed) -> Result<Option<Plan>, Failure> {
        Ok(Some(plan(step)))
    }
}

/// dnf finds out itself whether there is anything to do.
fn plan(step: &Packages) -> Plan {
    let mut argv = words(&["dnf", "-q", "-y"]);
    argv.extend(step.hold.iter().map(|name| format!("--exclude={name}")));
    match step.scope {
        PackageScope::Upgrade => argv.push("upgrade".into()),
        PackageScope::Security => argv.extend(words(&["upgrade", "--security"])),
        PackageScope::Named => {
            argv.push("install".into());
            argv.extend(step.names.iter().map(|name| name.replacen('=', "-", 1)));
        }
    }
    let mut download = argv.clone();
    download.push("--downloadonly".into());
    Plan { download: vec![download], install: vec![argv] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(step: &Packages) -> (String, String) {
        let plan = plan(step);
        (plan.download[0].join(" "), plan.install[0].join(" "))
    }

    #[test]
    fn the_words_of_a_run() {
        let (download, install) = argv(&Packages::default());
        assert_eq!((download.as_str(), install.as_str()), ("dnf -q -y upgrade --downloadonly", "dnf -q -y upgrade"));
        let security = Packages { scope: PackageScope::Security, hold: vec!["ceph*".into()], ..Packages::default() };
        assert_eq!(argv(&security).1, "dnf -q -y --exclude=ceph* upgrade --security");
        let names = vec!["bash=5.1.8-9.el9".into(), "vim".into()];
        let named = Packages { scope: PackageScope::Named, names, ..Packages::default() };
        assert_eq!(argv(&named).1, "dnf -q -y install bash-5.1.8-9.el9 vim");
    }
}
