//! Certificates and tokens, made by `openssl` on the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The directory of a certificate authority, and of what it has signed.
pub struct Authority(PathBuf);

impl Authority {
    /// A new one, `ca.pem`.
    pub fn create(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).unwrap();
        let authority = Self(directory);
        let ca = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=tagbert-test-ca";
        authority.openssl(ca, b"");
        authority
    }

    /// A certificate for this machine, `NAME.pem`, with its key, `NAME.key`.
    pub fn sign(&self, name: &str) {
        let request = "-newkey rsa:2048 -nodes -addext subjectAltName=IP:127.0.0.1";
        self.openssl(&format!("req {request} -keyout {name}.key -out {name}.csr -subj /CN={name}"), b"");
        let by = "-CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2";
        self.openssl(&format!("x509 -req {by} -in {name}.csr -out {name}.pem"), b"");
    }

    /// Runs openssl in the directory.
    pub fn openssl(&self, arguments: &str, input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.0);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("openssl");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
        output.stdout
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Its text.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(Path::new(&self.path(name)), text).unwrap();
        self.path(name)
    }

    /// The public half of `NAME.key` as a JSON Web Key Set (RFC 7517).
    pub fn key_set(&self, name: &str) -> Value {
        let printed = self.openssl(&format!("rsa -in {name}.key -noout -modulus"), b"");
        let printed = String::from_utf8(printed).unwrap();
        let modulus = hex::decode(printed.trim().strip_prefix("Modulus=").unwrap()).unwrap();
        let modulus = BASE64_URL_SAFE_NO_PAD.encode(modulus);
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "test", "n": modulus, "e": "AQAB" }] })
    }

    /// A token for this subject (RFC 7519), signed by `NAME.key`.
    pub fn token(&self, name: &str, subject: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let head = json!({ "alg": "RS256", "kid": "test", "typ": "JWT" });
        let claims = json!({ "iss": "test", "aud": "kafka", "sub": subject, "iat": now, "exp": now + 600 });
        let [head, claims] = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let signature = self.openssl(&format!("dgst -sha256 -sign {name}.key"), format!("{head}.{claims}").as_bytes());
        format!("{head}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
