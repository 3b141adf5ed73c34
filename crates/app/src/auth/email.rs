//! E-mail addresses as the name of an account.

use meetmind_core::{Error, Result};

/// The address in lower case: one `@` with something on both sides, at most 254 characters, no
/// white space or control characters. More cannot be known without writing to it.
pub(crate) fn normalised(email: &str) -> Result<String> {
    let email = email.to_lowercase();
    let wrong = |message: &str| Err(Error::invalid("email", message));
    if email.chars().count() > 254 {
        return wrong("must have at most 254 characters");
    }
    if email
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return wrong("must not contain spaces or control characters");
    }
    match email.split_once('@') {
        Some((local, domain))
            if !local.is_empty() && !domain.is_empty() && !domain.contains('@') =>
        {
            Ok(email)
        }
        _ => wrong("must be an address such as name@example.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn addresses_differ_by_more_than_case() {
        assert_eq!(
            normalised("Anna@Example.COM").expect("an address"),
            "anna@example.com"
        );
        let long = format!("{}@example.com", "a".repeat(250));
        for wrong in [
            "",
            "anna",
            "@example.com",
            "anna@",
            "a@b@c",
            "an na@example.com",
            "anna@exa\u{0}mple.com",
            "anna@example.com\n",
            &long,
        ] {
            assert!(normalised(wrong).is_err(), "{wrong:?}");
        }
    }
}
