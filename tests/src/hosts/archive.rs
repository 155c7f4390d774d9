//! Archives of packages inside of a host, as apt reads them.

use super::{File, Host};

/// Makes one. Arguments: its folder, what it says of itself, what packages do when they are configured, then names with versions.
const ARCHIVE: &str = r#"
set -eu
folder=$1 label=$2 postinst=$3
shift 3
mkdir -p "$folder"
cd "$folder"
rm -f Packages Release
for package in "$@"; do
    name=${package%=*} version=${package#*=}
    tree=$(mktemp -d)
    mkdir -p "$tree/DEBIAN" "$tree/etc"
    chmod 755 "$tree"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: nothing\n' "$name" "$version" >"$tree/DEBIAN/control"
    echo "setting of $version" >"$tree/etc/$name.conf"
    echo "/etc/$name.conf" >"$tree/DEBIAN/conffiles"
    if [ -n "$postinst" ]; then
        printf '#!/bin/sh\nset -e\nname=%s version=%s\n%s\n' "$name" "$version" "$postinst" >"$tree/DEBIAN/postinst"
        chmod 755 "$tree/DEBIAN/postinst"
    fi
    dpkg-deb --build --root-owner-group "$tree" "${name}_${version}_all.deb" >/dev/null
    rm -r "$tree"
done
for deb in *.deb; do
    dpkg-deb -f "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done >Packages
printf 'Origin: %s\nLabel: %s\nSuite: %s\nDate: %s\nSHA256:\n %s %s Packages\n' "$label" "$label" "$label" "$(date -uR)" \
    "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release
"#;

impl Host<'_> {
    /// Adds packages, each `NAME=VERSION`, to an archive in that folder, which says that of itself. `postinst` is what they do when
    /// they are configured, in shell, with `$name`, `$version` and what dpkg says in `$1` and `$2`; empty for nothing.
    ///
    /// # Errors
    /// The host is off.
    pub fn archive(&self, folder: &str, label: &str, postinst: &str, packages: &[&str]) -> anyhow::Result<()> {
        self.exec(&[&["sh", "-c", ARCHIVE, "archive", folder, label, postinst], packages].concat()).map(drop)
    }

    /// Makes those folders the only archives that apt knows; it has to read them before it sees what is in them, and
    /// again before it sees what is new.
    ///
    /// # Errors
    /// The host is off.
    pub fn apt_from(&self, folders: &[&str]) -> anyhow::Result<()> {
        self.exec(&["sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*"])?;
        let lines: Vec<_> = folders.iter().map(|folder| format!("deb [trusted=yes] copy:{folder} ./\n")).collect();
        self.write(&File::text("/etc/apt/sources.list", &lines.concat()))
    }
}
