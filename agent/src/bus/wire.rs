//! Arguments and answers as they are on the wire: little endian, aligned.

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub(super) kinds: String,
    pub(super) bytes: Vec<u8>,
}

impl Body {
    /// Arguments of these kinds, in the letters of D-Bus; what is added must be of them.
    #[must_use]
    pub fn new(kinds: &str) -> Self {
        Self { kinds: kinds.to_owned(), bytes: Vec::new() }
    }

    pub(super) fn align(&mut self, to: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self
    }

    /// A text or a path.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u32).bytes.extend(text.bytes());
        self.bytes.push(0);
        self
    }

    /// A number of 32 bits.
    pub fn number(&mut self, number: u32) -> &mut Self {
        self.align(4).bytes.extend(number.to_le_bytes());
        self
    }

    /// A number of 64 bits.
    pub fn long(&mut self, number: u64) -> &mut Self {
        self.align(8).bytes.extend(number.to_le_bytes());
        self
    }

    /// The kind of the value that follows, where any kind may.
    pub fn signature(&mut self, kinds: &str) -> &mut Self {
        self.bytes.push(kinds.len() as u8);
        self.bytes.extend(kinds.bytes());
        self.bytes.push(0);
        self
    }

    /// A list whose items are aligned to `align`.
    pub fn list(&mut self, align: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.number(0);
        let len_at = self.bytes.len() - 4;
        self.align(align);
        let begin = self.bytes.len();
        fill(self);
        let len = (self.bytes.len() - begin) as u32;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        self
    }

    /// The next item of a list of structures.
    pub fn item(&mut self) -> &mut Self {
        self.align(8)
    }
}

/// Reads the body of an answer; `None` where it is not what was expected.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// From its beginning.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it was read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes on to the next multiple of `to`.
    pub fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of 32 bits.
    pub fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn long(&mut self) -> Option<u64> {
        self.align(8);
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A text or a path.
    pub fn text(&mut self) -> Option<String> {
        let len = self.number()? as usize;
        let text = self.take(len.checked_add(1)?)?;
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }

    /// A list of bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.number()? as usize;
        self.take(len)
    }

    /// The kind of the value that follows, where any kind may.
    pub fn signature(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        self.take(len + 1).map(|bytes| &bytes[..len])
    }
}
