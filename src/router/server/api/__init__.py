"""Operations of the HTTP API, independent of the HTTP implementation."""
