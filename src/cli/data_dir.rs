//! What lies where in a data directory, and the keys in it.
//!
//! ```text
//! config.toml      what the operator chose
//! islet.db         the database
//! keys/audit.key   32 bytes that key the audit chain; outside of the database on purpose
//! keys/token.p8    Ed25519 key that signs access tokens (PKCS#8 DER)
//! keys/node.key    Ed25519 key that is the node on its network (PKCS#8 DER)
//! tls/             the certificate authority
//! lock             held by the process that serves
//! control.sock     where that process takes commands
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use islet_sync::chain::Signer;
use zeroize::Zeroizing;

use super::Failure;
use super::files;
use crate::config::{Config, islet_variables};
use crate::peer::identity::Identity;
use crate::store::{DATABASE_FILE, StoreError};

/// The configuration in a data directory.
pub(super) const CONFIG_FILE: &str = "config.toml";
/// Where the keys are.
pub(super) const KEYS: &str = "keys";
/// Where the certificate authority is.
pub(super) const TLS: &str = "tls";
pub(super) const AUDIT_KEY: &str = "audit.key";
pub(super) const TOKEN_KEY: &str = "token.p8";
pub(super) const NODE_KEY: &str = "node.key";

/// A data directory, which may not exist yet.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or directory in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Refuses a path that no command can work with: a file, or a directory that this user may
    /// not look into. One that does not exist yet is none of these.
    ///
    /// # Errors
    /// The text says what to give instead, or who to be.
    pub fn check_usable(&self) -> Result<(), Failure> {
        match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => Err(Failure::usage(format!(
                "{} is a file: --data wants the directory of a node, or a new one",
                self.0.display()
            ))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(Failure::io("look into", &self.0, &error))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is a database in it.
    #[must_use]
    pub fn holds_node(&self) -> bool {
        self.join(DATABASE_FILE).exists()
    }

    /// Refuses to go on without a database.
    ///
    /// # Errors
    /// The text says how to make one.
    pub fn require_node(&self) -> Result<(), Failure> {
        if self.holds_node() {
            return Ok(());
        }
        Err(StoreError::Missing(self.0.clone()).into())
    }

    /// The configuration: its file, the environment, then `flags`.
    ///
    /// # Errors
    /// Every problem found.
    pub fn config(&self, flags: impl FnOnce(&mut Config)) -> Result<Config, Failure> {
        let file = self.join(CONFIG_FILE);
        Ok(Config::load(&file, &islet_variables(), flags)?)
    }

    /// The key of the audit chain.
    ///
    /// # Errors
    /// When it is missing, damaged, or open to other users.
    pub fn audit_key(&self) -> Result<[u8; 32], Failure> {
        let path = self.join(KEYS).join(AUDIT_KEY);
        let bytes = private(&path)?;
        bytes.as_slice().try_into().map_err(|_| {
            let text = format!("{} is damaged: restore it from a backup", path.display());
            Failure::new(text)
        })
    }

    /// The PKCS#8 form of the key that signs access tokens.
    ///
    /// # Errors
    /// When it is missing or open to other users.
    pub fn token_key(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        private(&self.join(KEYS).join(TOKEN_KEY))
    }

    /// Who this node is. A directory of before nodes had such a key gets one now.
    ///
    /// # Errors
    /// When the key is damaged or open to other users, or cannot be made.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let (keys, path) = (self.join(KEYS), self.join(KEYS).join(NODE_KEY));
        if !path.exists() {
            make_node_key(&keys)?;
        }
        Identity::from_pkcs8(private(&path)?)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }
}

impl DataDir {
    /// The same key, for signing this node's log.
    ///
    /// # Errors
    /// As for [`DataDir::identity`].
    pub fn signer(&self) -> Result<Signer, Failure> {
        self.identity()?;
        let path = self.join(KEYS).join(NODE_KEY);
        Signer::from_pkcs8(&private(&path)?)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }
}

/// Makes the key of a node in `keys`.
pub(super) fn make_node_key(keys: &Path) -> Result<(), Failure> {
    let pkcs8 = Identity::generate().map_err(|error| Failure::new(error.to_string()))?;
    files::write_private(keys, NODE_KEY, &pkcs8)
        .map_err(|error| Failure::io("write", &keys.join(NODE_KEY), &error))
}

fn private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = std::fs::read(path).map(Zeroizing::new);
    let bytes = bytes.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!(
            "{} is missing: restore it from a backup",
            path.display()
        )),
        _ => Failure::io("read", path, &error),
    })?;
    let open = files::others_mode(path).map_err(|error| Failure::io("look at", path, &error))?;
    if open == 0 {
        return Ok(bytes);
    }
    Err(Failure::new(format!(
        "{path} can be used by other users of this machine: run `chmod 600 {path}`; if they are \
         not to be trusted, the key must be replaced",
        path = path.display()
    )))
}
