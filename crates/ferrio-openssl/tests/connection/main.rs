//! Connections in memory on the system's OpenSSL.

mod errors;
mod openssl;
mod pair;
mod proof;
mod records;
mod sequences;
