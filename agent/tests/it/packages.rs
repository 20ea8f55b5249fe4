//! What a release offers, as `scripts/package` makes it of the binary under test: checksums, an archive, a bill of materials,
//! and packages that are installed into roots of their own; the Debian one's service is started as its unit says.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::agent::{free_address, http_get, program, repository};
use crate::kafka::{shared, unique, wait_until};

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The only file of a folder whose name ends so.
#[track_caller]
fn only(folder: &Path, end: &str) -> String {
    let names =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path().display().to_string());
    let found: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    let [one] = &found[..] else { panic!("{end}: {found:?}") };
    one.clone()
}

/// Installs the package into `root`, whose database of packages is empty.
fn install(package: &str, root: &Path) {
    for folder in ["updates", "info"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder)).expect("a folder is made");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("an empty database");
    // The C library is not in this root.
    run(Command::new("dpkg").arg(format!("--root={}", root.display())).args(["--force-depends", "--install", package]));
}

/// The same of an .rpm.
fn install_rpm(package: &str, root: &Path) {
    fs::create_dir_all(root).expect("a folder is made");
    let rpm = run(Command::new(repository().join("scripts/tools")).arg("rpm"));
    run(Command::new(rpm.trim()).arg(format!("--root={}", root.display())).args(["--nodeps", "--install", package]));
}

/// The bill of materials has the libraries that matter most, with the versions of the lock file.
#[track_caller]
fn names_what_is_linked(bill: &str) {
    let text = fs::read_to_string(bill).expect("a bill of materials");
    let bill: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("the lock file");
    let components = bill["components"].as_array().expect("components");
    for name in ["rdkafka-sys", "openssl-src", "redb", "tonic"] {
        let found = components.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} is missing"));
        let version = found["version"].as_str().expect("a version");
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
    }
    assert!(components.iter().all(|one| !one["licenses"].is_null()), "each says its licence");
}

#[test]
fn what_a_release_offers_is_whole_and_starts_as_its_unit_says() {
    let made = TempDir::with_prefix("streamgauge-packages-").expect("a temporary directory");
    run(Command::new(repository().join("scripts/package")).arg(program()).arg(made.path()));
    let checked = run(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(made.path()));
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), 4, "{checked}");
    let listed = run(Command::new("tar").args(["-tzf", &only(made.path(), ".tar.gz")]));
    for file in
        ["usr/bin/streamgauge", "usr/share/man/man1/streamgauge-run.1.gz", "usr/lib/systemd/system/streamgauge.service"]
    {
        assert!(listed.lines().any(|line| line.ends_with(file)), "{file} is not in the archive:\n{listed}");
    }
    names_what_is_linked(&only(made.path(), ".cdx.json"));

    let root = made.path().join("root");
    install(&only(made.path(), ".deb"), &root);
    let other = made.path().join("rpm-root");
    install_rpm(&only(made.path(), ".rpm"), &other);
    for folder in ["usr", "etc"] {
        let said = run(Command::new("diff").args(["-r"]).args([root.join(folder), other.join(folder)]));
        assert_eq!(said, "", "both packages have the same files");
    }
    let licences = run(Command::new("zcat").arg(other.join("usr/share/doc/streamgauge/THIRD-PARTY-LICENSES.gz")));
    for name in ["librdkafka/LICENSE", "openssl/LICENSE.txt", "tokio"] {
        assert!(licences.contains(name), "{name} has no licence");
    }
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/streamgauge.service")).expect("the unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("what it starts");
    let words: Vec<&str> = start.split(' ').collect();
    let [binary, "run", "-c", config] = words[..] else { panic!("{start}") };
    let (binary, config) = (root.join(&binary[1..]), root.join(&config[1..]));
    run(Command::new(&binary).args(["validate", "-c"]).arg(&config));
    // Its topic, its directory and its ports belong to others here.
    let (kafka, topic, http) = (shared(), unique("packaged"), free_address());
    kafka.create_topic(&topic, 1, &[]);
    let text = fs::read_to_string(&config).expect("the config");
    assert!(text.contains("dir: /var/lib/streamgauge/state"), "{text}");
    let text = text
        .replace("[log-events]", &format!("[{topic}]"))
        .replace("group_id: streamgauge", &format!("group_id: {topic}"));
    fs::write(&config, text).expect("the config is written");
    let mut agent = Command::new(&binary)
        .args(["run", "-c"])
        .arg(&config)
        .args(["--http", &http.to_string(), "--grpc", &free_address().to_string(), "--state-dir"])
        .arg(root.join("state"))
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the installed binary starts");
    let patience = Duration::from_secs(5);
    let started = std::panic::catch_unwind(|| {
        wait_until("the installed agent is ready", || {
            http_get(http, "/-/ready", patience).is_some_and(|(status, _)| status == 200)
        });
    });
    agent.kill().expect("it can be killed");
    agent.wait().expect("it ends");
    started.expect("the installed agent is ready");
}
