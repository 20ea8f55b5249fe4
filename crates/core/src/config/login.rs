//! How a client logs in at the brokers: what is wrong with it, where librdkafka would say so only when a client is made, in
//! words about how it was compiled, or not at all.

use std::collections::BTreeMap;

/// Where tokens of OAUTHBEARER come from.
pub const TOKEN_ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";
const METHOD: &str = "sasl.oauthbearer.method";
const MECHANISMS: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];
/// What `sasl.mechanism` is for IAM of Amazon MSK, as AWS's own client has it. Brokers take its tokens by `OAUTHBEARER`.
pub const MSK_IAM: &str = "AWS_MSK_IAM";
const SUPPORTED: &str = "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`";

/// What is wrong, of which property, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginTrouble {
    pub property: &'static str,
    pub message: String,
    pub help: String,
}

impl LoginTrouble {
    fn new(property: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        LoginTrouble { property, message: message.into(), help: help.into() }
    }
}

/// Whether a client with these properties logs in by tokens (`OAUTHBEARER`, and IAM of Amazon MSK).
pub fn logs_in_by_token<'a>(get: impl Fn(&str) -> Option<&'a str>) -> bool {
    let by_token =
        |mechanism: &str| mechanism.eq_ignore_ascii_case("OAUTHBEARER") || mechanism.eq_ignore_ascii_case(MSK_IAM);
    let is_oauth = |name| get(name).is_some_and(by_token);
    let protocol = get("security.protocol").unwrap_or_default().to_ascii_uppercase();
    MECHANISMS.into_iter().any(is_oauth) && protocol.starts_with("SASL_")
}

/// The file that holds the token, if `endpoint` is the URL of one, as Kafka's Java clients have it: `file:///path`.
pub fn token_file(endpoint: &str) -> Option<&str> {
    let rest = endpoint.strip_prefix("file:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest)).filter(|path| path.starts_with('/'))
}

/// The region in the name of a broker of Amazon MSK: `b-1.x.kafka.eu-west-1.amazonaws.com`. `None`: it is another name.
pub fn msk_region(servers: &str) -> Option<&str> {
    servers.split(',').find_map(|server| {
        let host = server.trim().rsplit_once(':').map_or(server.trim(), |(host, _)| host);
        let host = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
        let (service, region) = host.rsplit_once('.')?;
        let is_kafka = ["kafka", "kafka-serverless"].iter().any(|name| service.ends_with(&format!(".{name}")));
        is_kafka.then_some(region)
    })
}

/// The first thing that is wrong with how these properties log in.
pub fn login_trouble(properties: &BTreeMap<String, String>) -> Option<LoginTrouble> {
    let value = |name: &str| properties.get(name).map(|value| value.to_ascii_uppercase());
    let given = MECHANISMS.into_iter().find_map(|name| Some((name, value(name)?)));
    match given.as_ref().map(|(name, mechanism)| (*name, mechanism.as_str())) {
        Some((name, "GSSAPI")) => Some(LoginTrouble::new(
            name,
            "Kerberos (`GSSAPI`) is not supported",
            format!("use {SUPPORTED}, on a listener of the brokers that has it"),
        )),
        Some((name, MSK_IAM)) if !cfg!(feature = "aws") => Some(LoginTrouble::new(
            name,
            "this build has no IAM of Amazon MSK",
            "build it with `--features aws`; or switch SASL/SCRAM on in the cluster and use `SCRAM-SHA-512`, or mutual TLS",
        )),
        Some((_, MSK_IAM)) => {
            let trouble = || {
                let help = "set `security.protocol: SASL_SSL`; the port for IAM is 9098";
                LoginTrouble::new("security.protocol", "IAM of Amazon MSK needs `SASL_SSL`", help)
            };
            (value("security.protocol").as_deref() != Some("SASL_SSL")).then(trouble)
        }
        Some((name, "OAUTHBEARER")) => source_of_tokens(name, properties),
        Some(_) => None,
        None => {
            let protocol = value("security.protocol").filter(|protocol| protocol.starts_with("SASL_"))?;
            let message = format!("`{protocol}` needs `sasl.mechanism`");
            Some(LoginTrouble::new("security.protocol", message, format!("it is one of {SUPPORTED}")))
        }
    }
}

fn source_of_tokens(mechanism: &'static str, properties: &BTreeMap<String, String>) -> Option<LoginTrouble> {
    let is = |name: &str, wanted: &str| properties.get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
    let has = |names: &[&str]| names.iter().any(|name| properties.contains_key(*name));
    if let Some(endpoint) = properties.get(TOKEN_ENDPOINT).filter(|endpoint| endpoint.starts_with("file:")) {
        let help = "write the whole path: `file:///run/secrets/kafka-token`";
        let trouble = || LoginTrouble::new(TOKEN_ENDPOINT, format!("`{endpoint}` names no file"), help);
        return token_file(endpoint).is_none().then(trouble);
    }
    if is(UNSECURED, "true") {
        let config = properties.get("sasl.oauthbearer.config").map_or("", String::as_str);
        let trouble = || {
            let help = "set `sasl.oauthbearer.config: principal=NAME`";
            LoginTrouble::new(UNSECURED, "an unsecured token needs the name of a user", help)
        };
        return (!config.contains("principal=")).then(trouble);
    }
    if !is(METHOD, "oidc") {
        let help = format!(
            "set `{METHOD}: oidc` and the endpoint that gives them out, or `{TOKEN_ENDPOINT}: file:///PATH` for one in a file, or, for tests, `{UNSECURED}: true`"
        );
        return Some(LoginTrouble::new(mechanism, "`OAUTHBEARER` does not know where its tokens come from", help));
    }
    let other = ["sasl.oauthbearer.grant.type", "sasl.oauthbearer.metadata.authentication.type"];
    let unsupported = |name: &&str| {
        let holds = ["client_credentials", "none"];
        properties.get(*name).is_some_and(|value| !holds.iter().any(|held| value.eq_ignore_ascii_case(held)))
    };
    if let Some(name) = other.into_iter().find(unsupported) {
        let help = "use the id and the secret of a client, or write tokens to a file: `file:///PATH` as the endpoint";
        return Some(LoginTrouble::new(name, format!("this value of `{name}` is not supported"), help));
    }
    let is_http = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if let Some(url) = properties.get(TOKEN_ENDPOINT).filter(|url| !is_http(url)) {
        let help = "write `https://HOST/PATH`, as your identity provider has it, or `file:///PATH`";
        return Some(LoginTrouble::new(TOKEN_ENDPOINT, format!("`{url}` is no address to ask for tokens"), help));
    }
    let needed: [&[&str]; 3] = [
        &[TOKEN_ENDPOINT],
        &["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"],
        &["sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"],
    ];
    let missing = needed.iter().find(|names| !has(names)).map(|names| names[0])?;
    let message = format!("`{METHOD}: oidc` needs `{missing}`");
    Some(LoginTrouble::new(METHOD, message, "your identity provider says what it is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(text: &str) -> Option<String> {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        let properties = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        login_trouble(&properties).map(|trouble| trouble.message)
    }

    #[test]
    fn what_is_missing_of_a_login_is_said() {
        let oauth = "security.protocol=SASL_SSL sasl.mechanism=OAUTHBEARER";
        for (text, expected) in [
            ("security.protocol=SASL_PLAINTEXT", Some("`SASL_PLAINTEXT` needs `sasl.mechanism`")),
            ("sasl.mechanisms=gssapi", Some("Kerberos (`GSSAPI`) is not supported")),
            ("security.protocol=SASL_SSL sasl.mechanism=PLAIN", None),
            (oauth, Some("`OAUTHBEARER` does not know where its tokens come from")),
            (&format!("{oauth} {UNSECURED}=true"), Some("an unsecured token needs the name of a user")),
            (&format!("{oauth} {UNSECURED}=true sasl.oauthbearer.config=principal=x"), None),
            (&format!("{oauth} {TOKEN_ENDPOINT}=file:token"), Some("`file:token` names no file")),
            (&format!("{oauth} {TOKEN_ENDPOINT}=file:/token"), None),
            (&format!("{oauth} {METHOD}=oidc"), Some(&format!("`{METHOD}: oidc` needs `{TOKEN_ENDPOINT}`"))),
            (
                &format!(
                    "{oauth} {METHOD}=oidc sasl.oauthbearer.grant.type=urn:ietf:params:oauth:grant-type:jwt-bearer"
                ),
                Some("this value of `sasl.oauthbearer.grant.type` is not supported"),
            ),
            (
                &format!("{oauth} {METHOD}=oidc {TOKEN_ENDPOINT}=ftp://x"),
                Some("`ftp://x` is no address to ask for tokens"),
            ),
            (
                &format!("{oauth} {METHOD}=oidc {TOKEN_ENDPOINT}=https://x"),
                Some(&format!("`{METHOD}: oidc` needs `sasl.oauthbearer.client.id`")),
            ),
        ] {
            assert_eq!(trouble(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_build_without_awss_part_says_so_and_one_with_it_wants_tls() {
        let expected = match cfg!(feature = "aws") {
            true => "IAM of Amazon MSK needs `SASL_SSL`",
            false => "this build has no IAM of Amazon MSK",
        };
        assert_eq!(trouble("security.protocol=SASL_PLAINTEXT sasl.mechanism=aws_msk_iam").as_deref(), Some(expected));
        let by_tls = trouble("security.protocol=SASL_SSL sasl.mechanism=AWS_MSK_IAM");
        assert_eq!(by_tls.is_none(), cfg!(feature = "aws"));
    }

    #[test]
    fn the_region_of_a_cluster_is_in_the_names_of_its_brokers() {
        assert_eq!(msk_region("x:1,b-1.a.c2.kafka.eu-west-1.amazonaws.com:9098"), Some("eu-west-1"));
        assert_eq!(msk_region("boot-x.c1.kafka-serverless.us-east-2.amazonaws.com:9098"), Some("us-east-2"));
        assert_eq!(msk_region("b-1.a.kafka.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(msk_region("kafka.example.com:9098,s3.eu-west-1.amazonaws.com"), None);
    }

    #[test]
    fn the_url_of_a_file_is_a_path() {
        assert_eq!(token_file("file:///a/b"), Some("/a/b"));
        assert_eq!(token_file("file:/a"), Some("/a"));
        assert_eq!(token_file("https://a/b"), None);
        assert_eq!(token_file("file:a"), None);
    }
}
